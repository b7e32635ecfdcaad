import type { KubeObject } from '@selvedge/api';
import { fieldOf } from '../../drift/json-pointer.ts';
import { isOurs, managedFieldsOf } from '../../drift/field-set.ts';
import { partOfLabel } from '../../release/plan-release.ts';

/**
 * Why an object is not mirrored though it was selected. `Going`: it is being deleted. `Owned`: its owner makes it, elsewhere too.
 * `OfCluster`: every cluster makes it for itself. `OfSelvedge`: an Application brought it there, and brings it wherever it is wanted; two that mirror each other's
 * would never come to rest.
 */
export type LeftOut = 'Going' | 'Owned' | 'OfCluster' | 'OfSelvedge';

export function whyLeftOut(object: KubeObject): LeftOut | undefined {
  const { metadata } = object;
  if (metadata.deletionTimestamp !== undefined) return 'Going';
  if ((metadata.ownerReferences ?? []).some(({ controller }) => controller === true)) return 'Owned';
  if (isOfCluster(object)) return 'OfCluster';
  return isBroughtBySelvedge(object) ? 'OfSelvedge' : undefined;
}

/** Our label alone proves nothing: other programs have ApplySets too. */
function isBroughtBySelvedge(object: KubeObject): boolean {
  return object.metadata.labels?.[partOfLabel] !== undefined && managedFieldsOf(object).some(isOurs);
}

const ofEveryNamespace: Readonly<Record<string, readonly string[]>> = {
  ConfigMap: ['kube-root-ca.crt', 'openshift-service-ca.crt', 'istio-ca-root-cert'],
  ServiceAccount: ['default'],
};

function isOfCluster(object: KubeObject): boolean {
  const { apiVersion, kind, metadata } = object;
  if (apiVersion !== 'v1') return false;
  if (kind === 'Service') return metadata.namespace === 'default' && metadata.name === 'kubernetes';
  if (kind === 'Secret') return clusterSecrets.has(String(fieldOf(object, 'type')));
  return ofEveryNamespace[kind]?.includes(metadata.name) === true;
}

/** Good for nothing in another cluster. */
const clusterSecrets: ReadonlySet<string> = new Set([
  'kubernetes.io/service-account-token',
  'bootstrap.kubernetes.io/token',
]);
