import type { Condition, Site } from '@selvedge/api';

/** Whether the site says that it follows newer state than the hub knows: nothing is sent there until a person decides. */
export function isHubBehind(site: Site): boolean {
  return findCondition(site, 'HubBehind')?.status === 'True';
}

/**
 * Whether the site has shown, signed by this hub's own key, what it follows. Until then it only says a number, which anybody with
 * its key can: that stops what would be sent to it, and nothing else.
 */
export function isProvenHubBehind(site: Site): boolean {
  return isHubBehind(site) && site.status?.hubBehind !== undefined;
}

/** The condition `Held`; `undefined` when nothing is held and nothing ever was. */
export function heldFinding(site: Site): Omit<Condition, 'lastTransitionTime'> | undefined {
  const type = 'Held';
  const { hold } = site.spec ?? {};
  const holds = site.status?.holds ?? [];
  const local = holds.find((h) => h.item === undefined);
  if (local !== undefined) {
    const message = `${local.by} holds the site since ${local.sinceTime}: ${local.reason}. It ends there, with: selvedge-agent release`;
    return { type, status: 'True', reason: 'HeldAtSite', message };
  }
  if (hold !== undefined) {
    const message = `On hold by spec.hold: ${hold.reason}. It ends with: selvedge site release ${site.metadata.name}`;
    return { type, status: 'True', reason: 'HeldByHub', message };
  }
  if (holds.length > 0) {
    const names = holds.map((h) => `${h.item} (${h.by}: ${h.reason})`).join(', ');
    const message = `People at the site hold ${names}. It ends there, with: selvedge-agent release ITEM`;
    return { type, status: 'True', reason: 'ApplicationsHeldAtSite', message };
  }
  if (findCondition(site, type) === undefined) return undefined;
  return { type, status: 'False', reason: 'NotHeld', message: 'Nothing is held.' };
}

function findCondition(site: Site, type: string): Condition | undefined {
  return site.status?.conditions?.find((c) => c.type === type);
}
