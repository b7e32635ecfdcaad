import type { Site } from '@selvedge/api';
import type { SiteFacts } from '../../rollout/rollout-input.ts';

/**
 * What a rollout has to know of a Site: from its object, and from its last contact. A change of the object that leaves the
 * facts as they were concerns no rollout. The Connected condition says whether and since when; it changes only when that
 * does, and what was true when the hub stopped listening is not known to be so until then: who is in touch counts as so from
 * `listensSince` on.
 */
export function siteFacts(site: Site, lastSeenAt?: string, listensSince = 0): SiteFacts {
  const { metadata, spec, status } = site;
  const connected = status?.conditions?.find((condition) => condition.type === 'Connected');
  const held = heldBy(site);
  return {
    name: metadata.name,
    labels: metadata.labels ?? {},
    ...(connected?.status === 'True'
      ? { connectedSince: Math.max(Date.parse(connected.lastTransitionTime), listensSince) }
      : {}),
    ...(lastSeenAt === undefined ? {} : { lastSeen: Date.parse(lastSeenAt) }),
    isOverdue: connected?.reason === 'Overdue',
    variables: new Set(Object.keys(spec?.variables ?? {})),
    nodeGroups: new Set((spec?.nodeGroups ?? []).map(({ name }) => name)),
    ...(held ? { held } : {}),
  };
}

/** Why nothing that the hub wants is followed there. What the site cannot help comes before what people decided. */
function heldBy({ spec, status }: Site): SiteFacts['held'] {
  const find = (type: string) => status?.conditions?.find((condition) => condition.type === type);
  const behind = find('HubBehind');
  if (behind?.status === 'True') return { reason: 'HubBehind', message: behind.message };
  const accepted = find('DesiredStateAccepted');
  if (accepted?.status === 'False') return { reason: 'StateRefused', message: accepted.message };
  if (spec?.hold) return { reason: 'HubHold', message: `held by the Site's spec.hold: ${spec.hold.reason}` };
  const hold = status?.holds?.find(({ item }) => item === undefined);
  return hold && { reason: 'SiteHold', message: `held at the site by ${hold.by}: ${hold.reason}` };
}
