import type { DeliveryRules, KubeObject, NodeGroup, ScopedLogin } from '@selvedge/api';
import { shortenedName } from '@selvedge/api/node';
import type { Refusal } from '../../item-state.ts';
import { applicationOf, type ReleaseAtSite, resolveForSite } from '../../resolve-for-site.ts';
import { applyPhases, groupOf, phaseOf } from './apply-phase.ts';
import { placeOnNodeGroups, podOwnerOf } from './node-groups.ts';
import { type PlannedObject, refKey } from './planned-object.ts';
import { addPullSecrets } from './pull-secrets.ts';
import { markPods } from './secret-marks.ts';

/** On every object that we apply: the id of its ApplySet (KEP-3659). */
export const partOfLabel = 'applyset.kubernetes.io/part-of';
/** On pods, so that people find those of an application. */
export const applicationLabel = 'selvedge.dev/application';
export const applicationNamespaceLabel = 'selvedge.dev/application-namespace';

/** A release at one site. */
export interface ReleasePlace extends ReleaseAtSite {
  readonly nodeGroups: readonly NodeGroup[];
  readonly secretVersions?: Readonly<Record<string, string>>;
  /** For pull secrets: registries of which pods name them, and what is in them. */
  readonly pulls?: readonly string[];
  readonly logins?: readonly ScopedLogin[];
  /** Id of the application's ApplySet. */
  readonly applySetId: string;
}

/** What a release is to be at a site, but for what only the API can tell: which kinds are in namespaces. */
export interface SiteRelease {
  readonly manifests: readonly KubeObject[];
  readonly rules: DeliveryRules;
}

export type SiteReleaseOrRefusal =
  | (SiteRelease & { readonly refusal?: undefined })
  | { readonly refusal: Refusal };

/** Makes of the content what this site applies, and places workloads on node groups. Pure. */
export function readRelease(content: readonly KubeObject[], place: ReleasePlace): SiteReleaseOrRefusal {
  const resolved = resolveForSite(content, place);
  if (resolved.refusal) return { refusal: resolved.refusal };
  const { siteName, nodeGroups } = place;
  const { manifests, rules } = resolved;
  const placed = placeOnNodeGroups(manifests, rules.nodeGroups, { name: siteName, nodeGroups });
  if (placed.refusal) return { refusal: placed.refusal };
  const marked = markPods(placed.manifests, rules, place.secretVersions ?? {});
  const { pulls: registries = [], logins = [] } = place;
  const application = applicationOf(place.item.id);
  return { manifests: addPullSecrets(marked, { registries, logins }, application), rules };
}

/** Whether objects of a kind are in namespaces; undefined: nobody knows the kind. */
export type ScopeOf = (apiVersion: string, kind: string) => boolean | undefined;

export interface PlannedRelease {
  /** In the order in which they are applied. */
  readonly objects: readonly PlannedObject[];
  readonly rules: DeliveryRules;
  /** `apiVersion/Kind` of manifests that neither the API nor the release's own definitions know. */
  readonly unknownKinds: readonly string[];
}

/** Gives every object its namespace, our labels and its place in the order. Pure. */
export function planRelease(
  { manifests, rules }: SiteRelease,
  place: ReleasePlace,
  scopeOf: ScopeOf,
): PlannedRelease {
  const application = applicationOf(place.item.id);
  const defined = definedScopes(manifests);
  const unknown = new Set<string>();
  const objects = new Map<string, PlannedObject>();
  for (const manifest of manifests) {
    const { apiVersion, kind } = manifest;
    const isNamespaced = scopeOf(apiVersion, kind) ?? defined.get(`${groupOf(apiVersion)}/${kind}`);
    if (isNamespaced === undefined) {
      unknown.add(`${apiVersion}/${kind}`);
      continue;
    }
    const namespace = manifest.metadata.namespace || application.namespace;
    const planned = planObject(manifest, {
      namespace: isNamespaced ? namespace : undefined,
      applySetId: place.applySetId,
      application,
    });
    objects.set(refKey(planned.ref), planned);
  }
  const phases = applyPhases.map((phase) =>
    [...objects.values()].filter(({ ref }) => phaseOf(ref) === phase),
  );
  return { objects: phases.flat(), rules, unknownKinds: [...unknown].sort() };
}

/** Scopes of the kinds that the release itself defines, by group and kind. */
export function definedScopes(manifests: readonly KubeObject[]): Map<string, boolean> {
  const scopes = new Map<string, boolean>();
  for (const { apiVersion, kind, ...object } of manifests) {
    if (groupOf(apiVersion) !== 'apiextensions.k8s.io' || kind !== 'CustomResourceDefinition') continue;
    const spec = object['spec'] as { group?: string; scope?: string; names?: { kind?: string } } | undefined;
    scopes.set(`${spec?.group}/${spec?.names?.kind}`, spec?.scope === 'Namespaced');
  }
  return scopes;
}

interface ObjectPlace {
  readonly namespace: string | undefined;
  readonly applySetId: string;
  readonly application: { readonly namespace: string; readonly name: string };
}

/** Kubernetes' limit for the value of a label. */
const longestLabel = 63;
/** Set by the API server; a manifest that has them was exported from a cluster. */
const serverFields = [
  'uid',
  'resourceVersion',
  'generation',
  'creationTimestamp',
  'managedFields',
  'selfLink',
];

function planObject(manifest: KubeObject, place: ObjectPlace): PlannedObject {
  const { apiVersion, kind } = manifest;
  const { namespace: _namespace, ...before } = manifest.metadata;
  const metadata = Object.fromEntries(
    Object.entries(before).filter(([name]) => !serverFields.includes(name)),
  ) as unknown as KubeObject['metadata'];
  const { status: _status, ...rest } = manifest;
  const object: KubeObject = {
    ...structuredClone(rest as KubeObject),
    metadata: {
      ...structuredClone(metadata),
      ...(place.namespace === undefined ? {} : { namespace: place.namespace }),
      labels: { ...metadata.labels, [partOfLabel]: place.applySetId },
    },
  };
  labelPods(object, place.application);
  if (apiVersion === 'v1' && kind === 'Secret') mergeStringData(object);
  const { name } = metadata;
  const ref = {
    apiVersion,
    kind,
    name,
    ...(place.namespace === undefined ? {} : { namespace: place.namespace }),
  };
  return { ref, object };
}

function labelPods(object: KubeObject, application: ObjectPlace['application']): void {
  const owner = podOwnerOf(object);
  if (owner === undefined) return;
  const metadata = (owner['metadata'] ??= {}) as Record<string, unknown>;
  const labels = metadata['labels'] as Record<string, string> | undefined;
  metadata['labels'] = { ...labels, ...podLabelsOf(application) };
}

function podLabelsOf({ namespace, name }: ObjectPlace['application']): Record<string, string> {
  return {
    [applicationLabel]: shortenedName(name, longestLabel),
    [applicationNamespaceLabel]: shortenedName(namespace, longestLabel),
  };
}

/** Label selector of the pods of an application. */
export function podSelectorOf(itemId: string): string {
  const labels = Object.entries(podLabelsOf(applicationOf(itemId)));
  return labels.map(([name, value]) => `${name}=${value}`).join(',');
}

/** The API server moves `stringData` into `data` at once: named as such it would look changed by others forever. */
function mergeStringData(object: KubeObject): void {
  const texts = object['stringData'];
  if (typeof texts !== 'object' || texts === null) return;
  const encoded = Object.entries(texts).map(([key, text]) => [
    key,
    Buffer.from(String(text)).toString('base64'),
  ]);
  object['data'] = { ...(object['data'] as object | undefined), ...Object.fromEntries(encoded) };
  delete object['stringData'];
}
