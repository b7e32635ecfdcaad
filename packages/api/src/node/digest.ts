import { createHash } from 'node:crypto';
import { canonicalJson } from '../canonical-json.ts';
import type { MachineReport } from '../machines/machine-report.ts';
import type { DesiredState, ItemReport, MirrorOrder } from '../sync/sync-protocol.ts';

/** `sha256:<64 hex digits>`, as the OCI image spec writes digests. */
export function sha256Digest(bytes: Uint8Array | string): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

/** The name, or where it has more than `longest` characters (at least 32): its beginning and a hash of all of it. */
export function shortenedName(name: string, longest: number): string {
  if (name.length <= longest) return name;
  const hash = createHash('sha256').update(name).digest('hex').slice(0, 16);
  return `${name.slice(0, longest - 17).replace(/[-._]+$/, '')}-${hash}`;
}

/** `SHA256:<base64url>` over the raw public key (given as base64url). */
export function keyFingerprint(publicKey: string): string {
  return `SHA256:${createHash('sha256').update(Buffer.from(publicKey, 'base64url')).digest('base64url')}`;
}

/** Digest of everything in the state; items and tombstones may come in any order. */
export function stateDigest(state: DesiredState): string {
  const order = (a: { id: string; uid: string }, b: { id: string; uid: string }) =>
    a.id < b.id ? -1 : a.id > b.id ? 1 : a.uid < b.uid ? -1 : a.uid > b.uid ? 1 : 0;
  return sha256Digest(
    canonicalJson({
      hubId: state.hubId,
      site: state.site,
      siteUid: state.siteUid,
      epoch: state.epoch,
      variables: state.variables,
      policy: state.policy,
      items: state.items.toSorted(order),
      tombstones: state.tombstones.toSorted(order),
    }),
  );
}

/** Digest of which report is the newest per item; equal on both sides when no report is missing. */
export function reportsDigest(reports: readonly Pick<ItemReport, 'id' | 'uid' | 'seq'>[]): string {
  const lines = reports.map((r) => `${r.id} ${r.uid} ${r.seq}`).sort();
  return sha256Digest(lines.join('\n'));
}

/** Of all reports of machines that a rack holds, or that a hub holds of a rack. */
export function machinesDigest(reports: readonly Pick<MachineReport, 'key' | 'seq'>[]): string {
  const lines = reports.map((r) => `${r.key} ${r.seq}`).sort();
  return sha256Digest(lines.join('\n'));
}

/** Of what is ordered, for whomever it is. */
export function mirrorOrderDigest(order: MirrorOrder): string {
  const { uid: _, ...asked } = order;
  return sha256Digest(canonicalJson(asked));
}
