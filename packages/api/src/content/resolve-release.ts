import type { KubeObject } from '../object-meta.ts';
import {
  type ReleaseIdentity,
  ReleaseResolver,
  type ResolvedRelease,
  type SiteFacts,
} from './release-resolver.ts';

/**
 * What one site applies of a release's content: the variant of its Helm values, then the overrides that select it, in order, then variables, then its
 * Secrets. Pure; the hub (`plan`, `render`) and the agent call the same. Manifests that nothing changes are the objects of the content. Who
 * asks for many sites keeps a `ReleaseResolver`.
 */
export function resolveRelease(
  content: readonly KubeObject[],
  site: SiteFacts,
  identity: ReleaseIdentity,
): ResolvedRelease {
  return new ReleaseResolver(content, identity).resolve(site);
}
