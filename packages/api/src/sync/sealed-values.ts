import { canonicalJson } from '../canonical-json.ts';
import type { SealedEnvelope, SealedName } from './sync-protocol.ts';

/** `info` of the HPKE context (`SealedEnvelope.encapsulated`). */
export const sealedValueInfo = 'selvedge sealed value v1';

/** Additional data: a ciphertext stands for this hub, site, id and version, and for no other. */
export function sealedValueContext({
  hubId,
  siteUid,
  id,
  version,
}: Pick<SealedEnvelope, 'hubId' | 'siteUid' | 'id' | 'version'>): string {
  return canonicalJson({ hubId, siteUid, id, version });
}

export const sealedKinds = ['Secret', 'RegistryCredential'] as const;
export type SealedKind = (typeof sealedKinds)[number];

export interface SealedSubject {
  readonly kind: SealedKind;
  readonly namespace: string;
  readonly name: string;
}

/** `SealedName.id`. */
export function sealedId({ kind, namespace, name }: SealedSubject): SealedName['id'] {
  return `${kind}/${namespace}/${name}`;
}

/** The inverse of `sealedId`; undefined for what is none. */
export function parseSealedId(id: string): SealedSubject | undefined {
  const [kind, namespace = '', name = '', ...rest] = id.split('/');
  const known = sealedKinds.find((one) => one === kind);
  if (known === undefined || namespace === '' || name === '' || rest.length > 0) return undefined;
  return { kind: known, namespace, name };
}
