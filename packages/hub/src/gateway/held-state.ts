import { createPublicKey, verify } from 'node:crypto';
import type { DesiredItem, DesiredState, SignedStateHeader, SyncRequest, Tombstone } from '@selvedge/api';
import { stateDigest } from '@selvedge/api/node';
import type { AdoptedRow, AdoptedState, SiteState } from '@selvedge/store';
import { itemId } from './desired-state.ts';

type HeldState = NonNullable<SyncRequest['held']>;

export interface HeldStateOwner {
  readonly hubId: string;
  /** Raw Ed25519, base64url. */
  readonly fleetKey: string;
  readonly site: string;
  readonly siteUid: string;
}

/**
 * Why what a site says it follows is not believed, for people; `undefined`: this hub's key signed it for this site, and it is the
 * very state that the request names.
 */
export function findHeldStateFault(
  { signed, state }: HeldState,
  owner: HeldStateOwner,
  request: Pick<SyncRequest, 'epoch' | 'stateDigest'>,
): string | undefined {
  const header = verifiedHeader(signed, owner.fleetKey);
  if (header === undefined) return "it is not signed by this hub's fleet key";
  for (const field of ['hubId', 'site', 'siteUid'] as const) {
    const named = header[field] === owner[field] ? state[field] : header[field];
    if (named !== owner[field]) return `it is for ${field} "${String(named)}", not "${owner[field]}"`;
  }
  if (header.epoch !== state.epoch || header.stateDigest !== stateDigest(state)) {
    return 'what is signed is not what was sent (or a newer hub signed it)';
  }
  if (header.epoch !== request.epoch || header.stateDigest !== request.stateDigest) {
    return `it is of epoch ${header.epoch}, and the site says that it follows epoch ${request.epoch}`;
  }
  if (state.items.some((item) => applicationOf(item) === undefined)) {
    return 'it holds items that this hub has no kind for';
  }
  return undefined;
}

function verifiedHeader(signed: string, fleetKey: string): SignedStateHeader | undefined {
  const [head = '', payload = '', signature = '', ...more] = signed.split('.');
  try {
    const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: fleetKey }, format: 'jwk' });
    const isSigned = verify(
      null,
      Buffer.from(`${head}.${payload}`),
      key,
      Buffer.from(signature, 'base64url'),
    );
    if (!isSigned || more.length > 0) return undefined;
    // The key signs nothing else with these fields: the identity of the hub has no stateDigest.
    return JSON.parse(Buffer.from(payload, 'base64url').toString('utf8')) as SignedStateHeader;
  } catch {
    return undefined;
  }
}

/**
 * Whether what the site follows is no earlier chapter of what the hub wants: another hub, or this one before it lost its memory, wrote
 * it. A row that was last set at an epoch was so in every state from there on, and rows are never lost; so a true earlier state
 * passes always, and a foreign one as soon as one row of it was not set anew since.
 */
export function isForeignState(held: DesiredState, present: SiteState): boolean {
  if (held.epoch > present.epoch) return true;
  const rows = new Map(present.rows.map((row) => [`${itemId(row)} ${row.applicationUid}`, row]));
  const followed = new Set([...held.items, ...held.tombstones].map(keyOf));
  const isUnknown = (order: { id: string; uid: string; epoch: number }) => {
    const row = rows.get(keyOf(order));
    return row === undefined || row.epoch < order.epoch;
  };
  const isOther = (order: { id: string; uid: string; epoch: number }, digest: string) => {
    const row = rows.get(keyOf(order));
    return row?.epoch === order.epoch && row.digest !== digest;
  };
  return (
    held.items.some((item) => isUnknown(item) || isOther(item, item.digest)) ||
    held.tombstones.some((tombstone) => isUnknown(tombstone) || isOther(tombstone, '')) ||
    [...rows].some(([key, row]) => row.epoch <= held.epoch && !followed.has(key))
  );
}

/** What the site follows, for the hub to want from now on. A hub that counted on meanwhile counts one further, with the same items. */
export function adoptingState(held: DesiredState, hubEpoch: number): AdoptedState {
  const rows = [...held.items.map(wantedRow), ...held.tombstones.map(tombstoneRow)];
  return {
    epoch: Math.max(held.epoch, hubEpoch + 1),
    variables: held.variables,
    policy: held.policy,
    rows: rows.filter((row) => row !== undefined),
  };
}

/**
 * What the hub wants, beyond what the site follows. Every item is ordered anew, so that only what the site says from then on
 * counts. What the hub knows nothing of stays as the site has it: no removal follows from a lost memory.
 */
export function overridingState(
  held: Pick<DesiredState, 'epoch' | 'items' | 'tombstones'>,
  present: SiteState,
): AdoptedState {
  const epoch = Math.max(held.epoch, present.epoch) + 1;
  const known = new Set(present.rows.map((row) => `${itemId(row)} ${row.applicationUid}`));
  const wantedNames = new Set(present.rows.filter((row) => row.phase === 'Wanted').map((row) => itemId(row)));
  const followed = new Set(held.items.map(keyOf));
  const own = present.rows.map((row): AdoptedRow => {
    const isTombstone = row.phase !== 'Wanted';
    const isNews = !isTombstone || followed.has(`${itemId(row)} ${row.applicationUid}`);
    return { ...row, phase: isTombstone ? 'Removing' : 'Wanted', epoch: isNews ? epoch : row.epoch };
  });
  const foreign = held.items
    .filter((item) => !known.has(keyOf(item)))
    .map((item) =>
      // Another life of an application that the hub wants: one of the two has to go, as always.
      wantedNames.has(item.id) ? tombstoneRow({ ...item, epoch, mode: 'Delete' }) : wantedRow(item),
    );
  const removed = held.tombstones.filter((tombstone) => !known.has(keyOf(tombstone))).map(tombstoneRow);
  return {
    epoch,
    variables: present.variables,
    policy: present.policy,
    rows: [...own, ...foreign, ...removed].filter((row) => row !== undefined),
  };
}

function wantedRow(item: DesiredItem): AdoptedRow | undefined {
  const name = applicationOf(item);
  const { uid, epoch, release, digest, deadlineSeconds, terms } = item;
  return (
    name && {
      ...name,
      applicationUid: uid,
      phase: 'Wanted',
      release,
      digest,
      epoch,
      deadlineSeconds,
      terms,
      removal: 'Delete',
    }
  );
}

function tombstoneRow(tombstone: Tombstone): AdoptedRow | undefined {
  const name = applicationOf(tombstone);
  const { uid, epoch, mode } = tombstone;
  return (
    name && {
      ...name,
      applicationUid: uid,
      phase: 'Removing',
      release: '',
      digest: '',
      epoch,
      deadlineSeconds: 0,
      terms: noTerms,
      removal: mode,
    }
  );
}

/** Of a tombstone nobody asks. */
const noTerms = { activate: 'Window', attempt: 0, prepareSeconds: 0 } as const;

function applicationOf({ id }: { id: string }): { namespace: string; application: string } | undefined {
  const [kind, namespace, application, ...more] = id.split('/');
  if (kind !== 'Application' || !namespace || !application || more.length > 0) return undefined;
  return { namespace, application };
}

const keyOf = (item: { id: string; uid: string }): string => `${item.id} ${item.uid}`;
