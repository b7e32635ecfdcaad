import type { Condition, Site, SiteConnectivity } from '@selvedge/api';
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
  const isRevoked = isKeyRevoked(site);
  const hasRevoked = conditions.find((c) => c.type === 'KeyRevoked');
  if (!isRevoked && hasRevoked === undefined) return conditions;
  return withCondition(conditions, revokedFinding(site, isRevoked), now);
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

function revokedFinding(site: Site, isRevoked: boolean): Finding {
  const type = 'KeyRevoked';
  if (!isRevoked) {
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
