import { type Application, canonicalJson, type KubeObject, type SourceStatus } from '@selvedge/api';
import type { FleetStore } from '@selvedge/store';
import { sourceKindOf, sourceSpecDigest } from './source-spec.ts';

/** What releases are made of, wherever it comes from. */
export interface SourceContent {
  readonly manifests: readonly KubeObject[];
  /** Of a chart: what it gives with the values of these overrides. */
  readonly variants: readonly {
    readonly overrides: readonly string[];
    readonly manifests: readonly KubeObject[];
  }[];
}

/** The same text: the same content. `undefined`: there is none to make a release of. */
export function sourceContentKey(application: Application): string | undefined {
  if (sourceKindOf(application) === 'inline') return 'inline';
  const source = presentSource(application);
  if (!source) return undefined;
  const variants = (source.variants ?? []).map(({ overrides, digest }) => `${overrides.join('+')}=${digest}`);
  return [source.digest, ...variants].join(' ');
}

/**
 * The manifests of an Application: those in its spec, or those that were read last of its source. `undefined` when what was read is not
 * of the source that the spec names now: what went out before stays then.
 */
export async function findSourceContent(
  fleet: Pick<FleetStore, 'findBlob'>,
  application: Application,
): Promise<SourceContent | undefined> {
  const { inline } = application.spec.source;
  if (inline) return { manifests: inline.manifests as KubeObject[], variants: [] };
  const source = presentSource(application);
  if (!source) return undefined;
  const manifests = await findManifests(fleet, source.digest);
  if (!manifests) return undefined;
  const variants: { overrides: string[]; manifests: KubeObject[] }[] = [];
  for (const { overrides, digest } of source.variants ?? []) {
    const rendered = await findManifests(fleet, digest);
    if (!rendered) return undefined;
    variants.push({ overrides, manifests: rendered });
  }
  return { manifests, variants };
}

/** What status says was read, when it is of what the spec names now. */
export function presentSource(application: Application): SourceStatus | undefined {
  const source = application.status?.source;
  if (source?.kind !== sourceKindOf(application)) return undefined;
  return source.specDigest === sourceSpecDigest(application) ? source : undefined;
}

/** Digests of all that status names: content that has to be kept. */
export function sourceDigests({ status }: Application): string[] {
  const { source } = status ?? {};
  return source ? [source.digest, ...(source.variants ?? []).map(({ digest }) => digest)] : [];
}

export function manifestBytes(manifests: readonly KubeObject[]): Uint8Array {
  return new TextEncoder().encode(canonicalJson(manifests));
}

async function findManifests(
  fleet: Pick<FleetStore, 'findBlob'>,
  digest: string,
): Promise<KubeObject[] | undefined> {
  const bytes = await fleet.findBlob(digest);
  return bytes && (JSON.parse(new TextDecoder().decode(bytes)) as KubeObject[]);
}
