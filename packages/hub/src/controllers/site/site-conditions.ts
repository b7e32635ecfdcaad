import type { Condition, Site, SiteConnectivity } from '@selvedge/api';
import { heldFinding } from '../../resources/site-hold.ts';
import { withCondition } from '../../rollout/conditions.ts';

type Finding = Pick<Condition, 'type' | 'status' | 'reason' | 'message'>;

/** The Site's conditions with those that the hub keeps; they change only when something truly has. */
export function siteConditions(
  site: Site,
  facts: { connectivity: SiteConnectivity; lastSeenTime: string | undefined },
  now: string,
): Condition[] {
  const present = site.status?.conditions ?? [];
  const connected = present.find((c) => c.type === 'Connected');
  // The message names a moment: it is that of the transition, not of every look at it.
  const conditions =
    connected?.reason === facts.connectivity
      ? [...present]
      : withCondition(present, connectedFinding(site, facts), now);
  const findings = [revokedFinding(site), heldFinding(site)].filter((finding) => finding !== undefined);
  return findings.reduce((all, finding) => withCondition(all, finding, now), conditions);
}

/** Whether the key that spoke last for the site is one that a person has revoked. */
export function isKeyRevoked({ spec, status }: Site): boolean {
  const fingerprint = status?.agent?.keyFingerprint;
  return fingerprint !== undefined && (spec?.revokedKeys ?? []).includes(fingerprint);
}

function connectedFinding(
  site: Site,
  { connectivity, lastSeenTime }: { connectivity: SiteConnectivity; lastSeenTime: string | undefined },
): Finding {
  const type = 'Connected';
  const expected = site.spec?.connectivity?.expected ?? '24h';
  switch (connectivity) {
    case 'Connected':
      return { type, status: 'True', reason: connectivity, message: 'The agent is in touch with the hub.' };
    case 'Away':
      return {
        type,
        status: 'False',
        reason: connectivity,
        message: `Silent since ${lastSeenTime}. It may be, for ${expected}; its applications run on by themselves.`,
      };
    case 'Overdue':
      return {
        type,
        status: 'False',
        reason: connectivity,
        message: `Silent since ${lastSeenTime}, longer than the expected ${expected}: look after power and link of the site.`,
      };
    case 'NeverConnected':
      return {
        type,
        status: 'False',
        reason: connectivity,
        message: `No agent has joined yet: make a token with "selvedge site token ${site.metadata.name}".`,
      };
  }
}

/** `undefined`: no key was ever revoked. */
function revokedFinding(site: Site): Finding | undefined {
  const type = 'KeyRevoked';
  if (!isKeyRevoked(site)) {
    if (site.status?.conditions?.some((c) => c.type === type) !== true) return undefined;
    return { type, status: 'False', reason: 'KeyAccepted', message: 'The key of the agent is not revoked.' };
  }
  return {
    type,
    status: 'True',
    reason: 'RevokedInSpec',
    message:
      `The key ${site.status?.agent?.keyFingerprint} is revoked in spec.revokedKeys: its agent is refused. ` +
      `To let another agent in, make a token with "selvedge site token ${site.metadata.name}".`,
  };
}
