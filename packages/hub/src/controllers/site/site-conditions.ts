import type { Condition, Site, SiteConnectivity } from '@selvedge/api';
import { heldFinding } from '../../resources/site-hold.ts';
import { ordersTooLarge } from '../../machines/machine-conditions.ts';
import { withCondition } from '../../rollout/conditions.ts';

type Finding = Pick<Condition, 'type' | 'status' | 'reason' | 'message'>;

/** The Site's conditions with those that the hub keeps; they change only when something truly has. */
export function siteConditions(
  site: Site,
  facts: {
    connectivity: SiteConnectivity;
    lastSeenTime: string | undefined;
    /** Why the site is not told what its rack is to do. */
    rackFault: string | undefined;
  },
  now: string,
): Condition[] {
  const present = site.status?.conditions ?? [];
  const connected = present.find((c) => c.type === 'Connected');
  // The message names a moment: it is that of the transition, not of every look at it.
  const conditions =
    connected?.reason === facts.connectivity
      ? [...present]
      : withCondition(present, connectedFinding(site, facts), now);
  const rack = rackFinding(site, facts.rackFault);
  const findings = [revokedFinding(site), heldFinding(site), rack].filter((finding) => finding !== undefined);
  // Of a rack that nobody wants any more there is nothing to say.
  const kept = rack === undefined ? conditions.filter(({ type }) => type !== 'RackReady') : conditions;
  return findings.reduce((all, finding) => withCondition(all, finding, now), kept);
}

/** `undefined`: the Site has no rack. */
function rackFinding({ spec, status }: Site, fault: string | undefined): Finding | undefined {
  if (spec?.rack === undefined) return undefined;
  const type = 'RackReady';
  const no = (reason: string, message: string): Finding => ({ type, status: 'False', reason, message });
  if (fault !== undefined) return no(ordersTooLarge, fault);
  const rack = status?.rack;
  if (rack === undefined) {
    return no(
      'RackMissing',
      'The agent has said nothing of a rack: start it with "selvedge-agent run --rack".',
    );
  }
  if (rack.message !== undefined) return no('RackFailed', rack.message);
  const failed = rack.networks.filter(({ state }) => state === 'Failed');
  if (failed.length > 0) {
    const told = failed.map(({ name, message = 'no reason given' }) => `${name}: ${message}`);
    return no('NetworkFailed', `Machines cannot boot on these networks: ${told.join('; ')}`);
  }
  const rogues = rack.networks.flatMap(({ name, otherServers = [] }) =>
    otherServers.map(({ address }) => `${address} on ${name}`),
  );
  if (rogues.length > 0) {
    const message = `Other DHCP servers answer where the rack is to be the only one: ${rogues.join(', ')}. Take them off, or set dhcp: Proxy for that network.`;
    return no('OtherDHCPServers', message);
  }
  const { discoveryFull } = rack;
  if (discoveryFull !== undefined) {
    // Those that were accepted boot as ever. No number: it grows, and the condition is the same.
    const message = `Machines can boot here, but not all boxes are shown: the rack remembers ${discoveryFull.limit} that nobody wants, and more come. Accept those that are yours; if the others are made up, find who sends them, or set spec.rack.discovery: Ignore.`;
    return { type, status: 'True', reason: 'DiscoveryFull', message };
  }
  return { type, status: 'True', reason: 'Serving', message: 'Machines can boot here.' };
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
