import {
  canonicalJson,
  type RegistryCredential,
  type Secret,
  sealedId,
  type SecretValue,
} from '@selvedge/api';
import type { HubIdentity } from '../identity/hub-identity.ts';

export type SealedVersion = HubIdentity['sealedVersion'];

export function secretValue({ type = 'Opaque', data = {} }: Secret): SecretValue {
  return { type, data };
}

export function secretVersion(secret: Secret, version: SealedVersion): string {
  const { namespace = '', name } = secret.metadata;
  return version(sealedId({ kind: 'Secret', namespace, name }), canonicalJson(secretValue(secret)));
}

/**
 * Version of a RegistryCredential; undefined while the Secret that it names is not there. A token that is only renewed is no other version:
 * ten thousand sites are not told of it, each asks when it needs one.
 * @param versionOf of a Secret of the same namespace.
 */
export function credentialVersion(
  { metadata, spec }: RegistryCredential,
  { version, versionOf }: { version: SealedVersion; versionOf: (secret: string) => string | undefined },
): string | undefined {
  const { namespace = '', name } = metadata;
  const id = sealedId({ kind: 'RegistryCredential', namespace, name });
  const { registries, static: fixed, ecr } = spec;
  if (fixed === undefined) return version(id, canonicalJson({ registries, ecr: ecr ?? {} }));
  const secret = versionOf(fixed.secretRef.name);
  return secret === undefined ? undefined : version(id, canonicalJson({ registries, secret }));
}
