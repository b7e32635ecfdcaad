import type { DeliveryRules, KubeObject } from '@selvedge/api';
import type { Refusal } from '../item-state.ts';

/**
 * What of a release's rules a machine with Podman cannot honour. `ignoreDifferences` and `onImmutableChange` have nothing to do here: nobody
 * else sets fields, and every field can be changed. Pure.
 */
export function refusalOfRules(
  { apply, nodeGroups: wanted }: DeliveryRules,
  site: {
    readonly siteName: string;
    /** Names of the site's groups. */
    readonly nodeGroups: readonly string[];
    readonly manifests: readonly KubeObject[];
  },
): Refusal | undefined {
  const unsupported = (message: string): Refusal => ({ reason: 'Unsupported', message });
  if (wanted !== undefined && wanted.length > 0) {
    const found = site.nodeGroups.filter((name) => wanted.includes(name));
    if (found.length === 0) {
      const has = site.nodeGroups.length === 0 ? 'none' : site.nodeGroups.join(', ');
      return {
        reason: 'NoNodeGroup',
        message: `site ${site.siteName} has none of the node groups ${wanted.join(', ')}; it has ${has}`,
      };
    }
    if (found.length > 1) {
      return unsupported(
        `spec.placement.nodeGroups: ${found.join(', ')}: a Podman site is one machine and can stand for one of them only; leave all but one out of the Site's spec.nodeGroups`,
      );
    }
  }
  const { drift } = apply ?? {};
  if (drift !== undefined && drift !== 'Correct') {
    return unsupported(
      `spec.apply.drift: ${drift}: a Podman site always puts back what was changed; use Correct, or place the Application on Kubernetes sites only`,
    );
  }
  const rule = apply?.health?.find(({ apiVersion, kind }) =>
    site.manifests.some((manifest) => manifest.apiVersion === apiVersion && manifest.kind === kind),
  );
  if (rule) {
    return unsupported(
      `spec.apply.health: ${rule.kind}: a Podman site judges by the pods' probes and has no status of a ${rule.kind} to look at; leave the rule out`,
    );
  }
  return undefined;
}
