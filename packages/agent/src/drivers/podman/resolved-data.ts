import type { KubeObject } from '@selvedge/api';

/** Keys and bytes of one ConfigMap or Secret. */
export type DataMap = ReadonlyMap<string, Buffer>;

/** The ConfigMaps and Secrets of one release, by `namespace/name`. */
export interface ResolvedData {
  readonly configMaps: ReadonlyMap<string, DataMap>;
  readonly secrets: ReadonlyMap<string, DataMap>;
}

export function resolveData(
  manifests: readonly KubeObject[],
  namespaceOf: (m: KubeObject) => string,
): ResolvedData {
  const ofKind = (kind: string, read: (m: KubeObject) => DataMap) =>
    new Map(
      manifests
        .filter((m) => m.apiVersion === 'v1' && m.kind === kind)
        .map((m) => [`${namespaceOf(m)}/${m.metadata.name}`, read(m)] as const),
    );
  return { configMaps: ofKind('ConfigMap', configMapData), secrets: ofKind('Secret', secretData) };
}

function configMapData(manifest: KubeObject): DataMap {
  return new Map([...entries(manifest['data'], 'utf8'), ...entries(manifest['binaryData'], 'base64')]);
}

function secretData(manifest: KubeObject): DataMap {
  return new Map([...entries(manifest['data'], 'base64'), ...entries(manifest['stringData'], 'utf8')]);
}

function entries(data: unknown, encoding: 'utf8' | 'base64'): [string, Buffer][] {
  return Object.entries((data ?? {}) as Record<string, string>).map(([key, value]) => [
    key,
    Buffer.from(value, encoding),
  ]);
}
