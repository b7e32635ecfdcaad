import { parseDuration } from '../duration.ts';
import type { NodeGroup, SiteSpec } from '../kinds/site.ts';
import { quantityToNumber } from '../quantity.ts';
import type { SitePolicy, TimeWindow } from '../sync/sync-protocol.ts';

/** What the site is told of its own rules. Pure; the same spec gives the same policy, without a field that says nothing. */
export function sitePolicy(spec: SiteSpec | undefined): SitePolicy {
  const {
    timeZone = 'UTC',
    windows,
    blackouts = [],
    hold,
    nodeGroups = [],
    link = 'Read',
    depot,
  } = spec ?? {};
  const download = timeWindows(windows?.download);
  const activate = timeWindows(windows?.activate);
  return {
    timeZone,
    ...(download.length === 0 ? {} : { downloadWindows: download }),
    ...(activate.length === 0 ? {} : { activateWindows: activate }),
    ...(blackouts.length === 0
      ? {}
      : {
          blackouts: blackouts.map(({ from, to, reason }) => ({
            from,
            to,
            ...(reason === undefined ? {} : { reason }),
          })),
        }),
    ...(hold === undefined ? {} : { hold: { reason: hold.reason } }),
    ...(nodeGroups.length === 0 ? {} : { nodeGroups: nodeGroups.map(toldNodeGroup) }),
    ...(link === 'Read' ? {} : { link }),
    ...depotPolicy(depot),
  };
}

/** What is no quantity was refused at the door; one that got in all the same is no limit. */
function depotPolicy({ bandwidth, size }: NonNullable<SiteSpec['depot']> = {}): Pick<SitePolicy, 'depot'> {
  const bytesPerSecond = quantityToNumber(bandwidth);
  const maxBytes = quantityToNumber(size);
  const depot = {
    ...(bytesPerSecond ? { bytesPerSecond: Math.ceil(bytesPerSecond) } : {}),
    ...(maxBytes ? { maxBytes: Math.ceil(maxBytes) } : {}),
  };
  return Object.keys(depot).length === 0 ? {} : { depot };
}

function toldNodeGroup({ name, nodeSelector = {}, tolerations = [] }: NodeGroup): NodeGroup {
  return {
    name,
    ...(Object.keys(nodeSelector).length === 0 ? {} : { nodeSelector }),
    ...(tolerations.length === 0 ? {} : { tolerations }),
  };
}

type SpecWindow = NonNullable<NonNullable<SiteSpec['windows']>['activate']>[number];

function timeWindows(windows: readonly SpecWindow[] = []): TimeWindow[] {
  // A duration that is none was refused at the door; one that got in all the same never opens.
  return windows.map(({ schedule, duration }) => ({
    schedule,
    durationSeconds: parseDuration(duration) ?? 0,
  }));
}

/** The other way round: the fields of a spec that give this policy. `null` where the spec has to lose a field: a merge patch. */
export function specOfPolicy(policy: SitePolicy): Record<string, unknown> {
  const windows = (list: readonly TimeWindow[] | undefined) =>
    list?.map(({ schedule, durationSeconds }) => ({ schedule, duration: `${durationSeconds}s` })) ?? null;
  return {
    timeZone: policy.timeZone,
    windows:
      policy.downloadWindows === undefined && policy.activateWindows === undefined
        ? null
        : { download: windows(policy.downloadWindows), activate: windows(policy.activateWindows) },
    blackouts: policy.blackouts ?? null,
    hold: policy.hold ?? null,
    nodeGroups: policy.nodeGroups ?? null,
    link: policy.link ?? null,
  };
}
