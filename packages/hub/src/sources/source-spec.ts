import {
  type Application,
  type ApplicationSource,
  canonicalJson,
  parseDuration,
  type SourceKind,
  sourceKinds,
} from '@selvedge/api';
import { sha256Digest } from '@selvedge/api/node';

/** RFC 3339. Another value than before: look now. Written by `selvedge app refresh` and by webhooks. */
export const refreshAnnotation = 'selvedge.dev/refresh-requested-at';

const defaultIntervalSeconds = 180;
const shortestIntervalSeconds = 10;

export function sourceKindOf({ spec }: Application): SourceKind {
  const { source } = spec;
  return sourceKinds.find((kind) => source[kind] !== undefined) ?? 'inline';
}

/** Seconds between two looks at a source that may move. */
export function intervalOf({ spec }: Application): number {
  const { git, helm, oci } = spec.source;
  const seconds = parseDuration((git ?? helm ?? oci)?.interval ?? helm?.git?.interval ?? '');
  return Math.max(seconds ?? defaultIntervalSeconds, shortestIntervalSeconds);
}

/**
 * Digest of what in the spec decides what is read. How often, with which credentials, and who may wake it, does not: with those
 * changed, what was read last is still what the source gives.
 */
export function sourceSpecDigest({ metadata, spec }: Application): string {
  const { inline: _inline, git, helm, oci, ...rest } = spec.source;
  const part = {
    ...rest,
    ...(git ? { git: whatOfGit(git) } : {}),
    ...(helm ? { helm: whatOfHelm(helm), name: metadata.name, values: helmOverrides(spec.overrides) } : {}),
    ...(oci ? { oci: { reference: oci.reference, path: oci.path ?? '.' } } : {}),
  };
  return sha256Digest(new TextEncoder().encode(canonicalJson(part)));
}

function whatOfGit({ url, ref, path, submodules }: NonNullable<ApplicationSource['git']>): object {
  return { url, path: path ?? '.', submodules: submodules === true, ...(ref ? { ref } : {}) };
}

function whatOfHelm({
  interval: _interval,
  secretRef: _secretRef,
  git,
  ...rest
}: NonNullable<ApplicationSource['helm']>): object {
  return { ...rest, ...(git ? { git: whatOfGit(git) } : {}) };
}

function helmOverrides(overrides: Application['spec']['overrides'] = []): object[] {
  return overrides.flatMap(({ name, helmValues }) => (helmValues ? [{ name, helmValues }] : []));
}

/** Digest of all that a look at the source depends on, so also how often, and with which logins and keys of servers. */
export function sourceWayDigest({ spec }: Application): string {
  const { git, helm, oci } = spec.source;
  const { webhook: _webhook, ...gitWay } = git ?? {};
  const way = { git: gitWay, helm: helm ?? {}, oci: oci ?? {} };
  return sha256Digest(new TextEncoder().encode(canonicalJson(way)));
}

export interface SourceReference {
  readonly kind: 'Secret' | 'ConfigMap';
  readonly name: string;
}

/** What the source is read with, in the namespace of the Application. */
export function sourceReferences({ spec }: Application): SourceReference[] {
  const { git, helm } = spec.source;
  const secrets = [git?.secretRef, helm?.secretRef, helm?.git?.secretRef];
  const values = (helm?.valuesFrom ?? []).flatMap(({ configMapKeyRef, secretKeyRef }): SourceReference[] => [
    ...(configMapKeyRef ? [{ kind: 'ConfigMap' as const, name: configMapKeyRef.name }] : []),
    ...(secretKeyRef ? [{ kind: 'Secret' as const, name: secretKeyRef.name }] : []),
  ]);
  return [...secrets.flatMap((ref) => (ref ? [{ kind: 'Secret' as const, name: ref.name }] : [])), ...values];
}
