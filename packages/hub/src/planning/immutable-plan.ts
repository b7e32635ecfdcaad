import {
  canonicalJson,
  type DeliveryRules,
  type ImmutableChange,
  type KubeObject,
  type Site,
} from '@selvedge/api';
import { immutableChanges } from './immutable-fields.ts';
import { byResource } from './manifest-changes.ts';

export interface ReleaseText {
  readonly manifests: readonly KubeObject[];
  readonly rules: DeliveryRules;
}

/** What a release changes of its predecessor that Kubernetes does not let change in place, by resource. Pure. */
export function planImmutableChanges(
  before: ReleaseText,
  after: ReleaseText,
  namespace: string,
): ImmutableChange[] {
  const [old, wanted] = [byResource(before.manifests, namespace), byResource(after.manifests, namespace)];
  const isPinnedAnew =
    canonicalJson(before.rules.nodeGroups ?? []) !== canonicalJson(after.rules.nodeGroups ?? []);
  const outcome = after.rules.apply?.onImmutableChange === 'Replace' ? 'Replaced' : 'Refused';
  return [...old.keys()].sort().flatMap((key): ImmutableChange[] => {
    const [from, to] = [old.get(key), wanted.get(key)];
    if (from === undefined || to === undefined) return [];
    const fields = immutableChanges(from.manifest, to.manifest);
    const pinned = isPinnedAnew ? pinnedField(to.manifest) : undefined;
    const all = [...new Set([...fields, ...(pinned === undefined ? [] : [pinned])])].sort();
    if (all.length === 0) return [];
    return [{ resource: to.resource, fields: all, outcome, advice: adviceFor(to.manifest, outcome) }];
  });
}

/** Where pods run is part of what these kinds do not let change; the node groups of the application are put into it at the site. */
function pinnedField({ apiVersion, kind }: KubeObject): string | undefined {
  if (kind === 'Pod' && apiVersion === 'v1') return 'spec.affinity';
  return kind === 'Job' && apiVersion.startsWith('batch/') ? 'spec.template' : undefined;
}

function adviceFor({ kind }: KubeObject, outcome: ImmutableChange['outcome']): string {
  const holdsData = kind === 'PersistentVolumeClaim' || kind === 'PersistentVolume';
  if (holdsData) {
    return outcome === 'Replaced'
      ? 'it holds data: see that it is kept elsewhere, or give the new one another name'
      : 'give the new one another name, and move the data';
  }
  if (outcome === 'Replaced') return 'it is deleted and made again; what it runs stops meanwhile';
  return 'give it another name, or set spec.apply.onImmutableChange: Replace (it is deleted and made again; what it runs stops meanwhile)';
}

/** Whether what the site runs is bound by the rules of Kubernetes; of a site that has not said so, it is taken for granted. */
export function isKubernetesSite({ status }: Site): boolean {
  const kind = status?.inventory?.cluster?.kind;
  if (kind !== undefined) return kind === 'kubernetes';
  return !(status?.agent?.runtime ?? '').startsWith('podman');
}
