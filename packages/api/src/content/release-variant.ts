import { isSameJson } from '../json-value.ts';
import { manifestKey } from '../manifests.ts';
import type { KubeObject } from '../object-meta.ts';
import type { ReleaseVariant } from '../rules/delivery-rules.ts';

/** How manifests differ from those of the base: what `ReleaseResolver` puts together again, but for the order. */
export function variantOf(
  base: readonly KubeObject[],
  variant: { readonly overrides: readonly string[]; readonly manifests: readonly KubeObject[] },
  namespace: string,
): ReleaseVariant {
  const keyOf = (manifest: KubeObject) => manifestKey(manifest, namespace);
  const before = new Map(base.map((manifest) => [keyOf(manifest), manifest]));
  const after = new Set(variant.manifests.map(keyOf));
  return {
    overrides: [...variant.overrides],
    set: variant.manifests.filter((manifest) => !isSameJson(before.get(keyOf(manifest)), manifest)),
    removed: [...before.keys()].filter((key) => !after.has(key)).sort(),
  };
}
