import { isDeepStrictEqual } from 'node:util';
import type { Condition, Machine, Site } from '@selvedge/api';
import { withCondition } from '../rollout/conditions.ts';

/** Reason of a Site's `RackReady`: what is wanted of its Machines is not sent. */
export const ordersTooLarge = 'OrdersTooLarge';

type Finding = Omit<Condition, 'lastTransitionTime'>;

/** Conditions of a Machine, from its object and that of its Site. They change only when something truly has. Pure. */
export function machineConditions(machine: Machine, site: Site | undefined, now: string): Condition[] {
  const findings = [
    acceptedFinding(machine),
    inspectedFinding(machine),
    provisionedFinding(machine),
    healthyFinding(machine),
    syncedFinding(machine, site),
  ];
  const present = machine.status?.conditions ?? [];
  const conditions = findings.reduce((all, finding) => withCondition(all, finding, now), [...present]);
  return isDeepStrictEqual(conditions, present) ? present : conditions;
}

function acceptedFinding({ metadata, spec }: Machine): Finding {
  const type = 'Accepted';
  if (spec.accepted !== false) {
    return { type, status: 'True', reason: 'Accepted', message: 'It belongs here.' };
  }
  return {
    type,
    status: 'False',
    reason: 'Discovered',
    message: `Nobody has taken it in yet: "selvedge machine accept ${metadata.name}", or delete it.`,
  };
}

function inspectedFinding({ spec, status }: Machine): Finding {
  const type = 'Inspected';
  const error = status?.error;
  if (error?.reason === 'InspectionFailed' || error?.reason === 'TestFailed') {
    return { type, status: 'False', reason: error.reason, message: error.message };
  }
  if (status?.phase === 'Inspecting') {
    return { type, status: 'False', reason: 'Inspecting', message: 'It is being inspected.' };
  }
  if (status?.inspectedTime !== undefined) {
    const message = `Its inventory was taken at ${status.inspectedTime}.`;
    return { type, status: 'True', reason: 'InventoryTaken', message };
  }
  const isDisabled = spec.inspection?.disabled === true || spec.externallyProvisioned === true;
  const reason = isDisabled ? 'NotWanted' : 'NotInspected';
  return { type, status: 'False', reason, message: 'No inventory was taken of it.' };
}

function provisionedFinding({ spec, status }: Machine): Finding {
  const type = 'Provisioned';
  const { phase, provisioned, error } = status ?? {};
  if (phase === 'Provisioned' && spec.externallyProvisioned === true) {
    const message = 'It ran before Selvedge knew it; nothing on its disks is touched.';
    return { type, status: 'True', reason: 'External', message };
  }
  const wanted = spec.provision?.image;
  if (wanted === undefined) {
    return { type, status: 'False', reason: 'NotWanted', message: 'No image is wanted on it.' };
  }
  if (phase === 'Provisioned' && provisioned?.image === wanted) {
    const message = `Image ${wanted} runs from ${provisioned.device}.`;
    return { type, status: 'True', reason: 'Running', message };
  }
  if (error !== undefined) return { type, status: 'False', reason: error.reason, message: error.message };
  const reason = phase === 'Provisioning' ? 'Provisioning' : 'Pending';
  return { type, status: 'False', reason, message: `Image ${wanted} is to be put on it.` };
}

function healthyFinding({ spec, status }: Machine): Finding {
  const type = 'Healthy';
  if (spec.broken !== undefined) {
    return { type, status: 'False', reason: 'MarkedBroken', message: spec.broken.reason };
  }
  if (status?.phase === undefined) {
    return {
      type,
      status: 'Unknown',
      reason: 'NotReported',
      message: 'The rack has said nothing of it yet.',
    };
  }
  if (status.error !== undefined) {
    return { type, status: 'False', reason: status.error.reason, message: status.error.message };
  }
  const bad = (status.results ?? []).filter((result) => badResults.has(result.status));
  if (bad.length > 0) {
    const names = bad.map(({ name, status: came }) => `${name} (${came})`).join(', ');
    const message = `Tests with another result than Passed: ${names}.`;
    return { type, status: 'False', reason: 'TestsNotPassed', message };
  }
  return { type, status: 'True', reason: 'NoError', message: 'Nothing is known to be wrong with it.' };
}

const badResults: ReadonlySet<string> = new Set(['Failed', 'Degraded', 'TimedOut']);

const contactType = 'SiteConnected';

/**
 * The machine as it is shown: with condition `SiteConnected` while its site is silent. That is never stored: a site that falls silent would have all its Machines written, and again
 * when it is back. Pure.
 */
export function withContact(machine: Machine, site: Site | undefined): Machine {
  const { status = {} } = machine;
  const present = status.conditions ?? [];
  // A program may have written back what it was shown.
  const stored = present.filter(({ type }) => type !== contactType);
  const connected = site?.status?.conditions?.find(({ type }) => type === 'Connected');
  const isAway = connected?.status === 'False' && connected.reason !== 'NeverConnected';
  if (!isAway && stored.length === present.length) return machine;
  const told = `what stands here is from ${status.observedTime ?? 'never'}`;
  const message = `The site is silent; ${told}. Its rack goes on by itself.`;
  const { lastTransitionTime = '' } = connected ?? {};
  const away: Condition = {
    type: contactType,
    status: 'False',
    reason: 'SiteAway',
    message,
    lastTransitionTime,
  };
  return { ...machine, status: { ...status, conditions: isAway ? [...stored, away] : stored } };
}

/** Whether what stands in status is what the rack makes of the present spec, and if not, why and since when. */
function syncedFinding({ metadata, spec, status }: Machine, site: Site | undefined): Finding {
  const type = 'Synced';
  const no = (reason: string, message: string): Finding => ({ type, status: 'False', reason, message });
  if (site === undefined) return no('SiteMissing', `There is no Site "${spec.siteName}".`);
  if (site.spec?.rack === undefined) {
    return no(
      'NoRack',
      `Site "${spec.siteName}" has no spec.rack: say there on which networks machines boot.`,
    );
  }
  const connected = site.status?.conditions?.find((condition) => condition.type === 'Connected');
  if (connected?.reason === 'NeverConnected') return no('SiteNotConnected', connected.message);
  const until = status?.observedTime ?? 'never';
  if (site.status?.rack === undefined) {
    return no(
      'RackMissing',
      `The agent of the site has no rack: start it with "selvedge-agent run --rack". What stands here is from ${until}.`,
    );
  }
  const { generation = 1 } = metadata;
  const { observedGeneration = 0 } = status ?? {};
  const ready = site.status.conditions?.find((condition) => condition.type === 'RackReady');
  if (ready?.reason === ordersTooLarge && observedGeneration < generation) {
    return no(ordersTooLarge, `Site "${spec.siteName}": ${ready.message}`);
  }
  if (status?.reportSeq === undefined) return no('NotReported', 'The rack has said nothing of it yet.');
  if (observedGeneration < generation) {
    return no(
      'Pending',
      `The rack acts on generation ${observedGeneration}; the present one is ${generation}.`,
    );
  }
  if (observedGeneration > generation) {
    return no(
      'HeldBack',
      `The rack acted on generation ${observedGeneration}, and this hub is at ${generation}: it was restored from an older backup. ` +
        `Nothing is done until spec is put right and "selvedge machine retry ${metadata.name}" says so.`,
    );
  }
  return { type, status: 'True', reason: 'InStep', message: 'The rack acts on what stands here.' };
}
