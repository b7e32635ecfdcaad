import type { DeliveryRules, KubeObject } from '@selvedge/api';
import { shortenedName } from '@selvedge/api/node';
import { shortDigest } from '../state/item-record.ts';
import { podOwnerOf } from './node-groups.ts';

/** On pods that use Secrets of the hub: another value rolls them, as another template does. */
export const secretVersionsAnnotation = 'selvedge.dev/secret-versions';

/** Whose pods are replaced when their template changes. Pods of Jobs run once, and their template cannot change. */
const rolled: ReadonlySet<string> = new Set(['Deployment', 'StatefulSet', 'DaemonSet']);

/**
 * Marks pod templates with the versions of the Secrets of the hub that they use. Pure.
 * @param versions by name at the hub.
 */
export function markPods(
  manifests: readonly KubeObject[],
  rules: DeliveryRules,
  versions: Readonly<Record<string, string>>,
): readonly KubeObject[] {
  const bySitedName = new Map(
    (rules.secrets ?? []).flatMap(({ name, as = name }) => {
      const version = versions[name];
      return version === undefined ? [] : [[as, version] as const];
    }),
  );
  if (bySitedName.size === 0) return manifests;
  return manifests.map((object) => {
    if (!rolled.has(object.kind)) return object;
    const used = [...usedSecrets(podOwnerOf(object)?.['spec'])]
      .filter((name) => bySitedName.has(name))
      .sort();
    if (used.length === 0) return object;
    const copy = structuredClone(object);
    const owner = podOwnerOf(copy) as Record<string, unknown>;
    const metadata = (owner['metadata'] ??= {}) as { annotations?: Record<string, string> };
    const mark = shortDigest(used.map((name) => [name, bySitedName.get(name)]));
    metadata.annotations = { ...metadata.annotations, [secretVersionsAnnotation]: shortenedName(mark, 63) };
    return copy;
  });
}

/** Names of Secrets that a pod reads; image pull secrets are none of them. */
function usedSecrets(podSpec: unknown): Set<string> {
  const names = new Set<string>();
  const visit = (value: unknown, key: string): void => {
    if (Array.isArray(value)) {
      for (const one of value) visit(one, key);
      return;
    }
    if (typeof value !== 'object' || value === null) return;
    for (const [field, inner] of Object.entries(value)) {
      if (field === 'imagePullSecrets') continue;
      const isName = (key === 'secretKeyRef' || key === 'secretRef') && field === 'name';
      const isVolume = key === 'secret' && (field === 'secretName' || field === 'name');
      if ((isName || isVolume) && typeof inner === 'string') names.add(inner);
      else visit(inner, field);
    }
  };
  visit(podSpec, '');
  return names;
}
