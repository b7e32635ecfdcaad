import {
  type Application,
  canonicalJson,
  type DeliveryRules,
  deliveryRules,
  describeManifests,
  type KubeObject,
  type OwnerReference,
  type Release,
  ReleaseResolver,
  releaseContent,
  releaseName,
  variantOf,
} from '@selvedge/api';
import { sha256Digest } from '@selvedge/api/node';
import { withDigests } from './image-digests.ts';
import { imagePlaces, type ReleaseInputs } from './release-inputs.ts';

export interface BuiltRelease {
  readonly release: Release;
  readonly bytes: Uint8Array;
  readonly content: readonly KubeObject[];
  readonly manifests: readonly KubeObject[];
  readonly rules: DeliveryRules;
}

/** The Release that an Application's present content makes. Pure: the same content makes the same bytes and name. */
export function buildRelease(application: Application, inputs: ReleaseInputs): BuiltRelease {
  const { name, namespace = '' } = application.metadata;
  const { manifests, variants, overrides } = withDigests(imagePlaces(application, inputs), inputs.images);
  const rules = deliveryRules(application.spec, {
    variables: inputs.variables,
    overrides,
    variants: variants.map((variant) => variantOf(manifests, variant, namespace)),
  });
  const content = releaseContent(manifests, rules, name);
  const bytes = new TextEncoder().encode(canonicalJson(content));
  const digest = sha256Digest(bytes);
  const release: Release = {
    apiVersion: 'selvedge.dev/v1alpha1',
    kind: 'Release',
    metadata: {
      name: releaseName(name, digest),
      namespace,
      labels: { 'selvedge.dev/application': name },
      ownerReferences: [ownerReference(application)],
    },
    spec: {
      application: name,
      digest,
      sizeBytes: bytes.length,
      ...describeContent(content, { release: '', application: name, namespace }),
      ...(rules.nodeGroups === undefined ? {} : { nodeGroups: [...rules.nodeGroups] }),
      ...(rules.apply === undefined ? {} : { apply: rules.apply }),
    },
  };
  return { release, bytes, content, manifests, rules };
}

/** What people and checks are told of the content: of the base, of each override by itself, and of each rendered variant. */
function describeContent(
  content: readonly KubeObject[],
  identity: { readonly release: string; readonly application: string; readonly namespace: string },
): Partial<Release['spec']> {
  const resolver = new ReleaseResolver(content, identity);
  const { overrides = [], variables = [], secrets = [], variants = [] } = resolver.rules;
  const base = resolver.combination([]);
  const described = describeManifests(base.manifests, identity.namespace);
  const known = new Set(base.manifests);
  const images = new Set(described.images);
  const isAdded = (manifest: KubeObject) => !known.has(manifest);
  const others = [
    ...overrides.map((_, index) => resolver.combination([index]).manifests),
    ...variants.map(({ set }) => set),
  ].flatMap((manifests) => manifests.filter(isAdded));
  for (const image of describeManifests(others, identity.namespace).images) images.add(image);
  const values = new Set([
    ...base.references.filter((name) => !name.startsWith('site.variables.')),
    ...variables.map((variable) => `variables.${variable.name}`),
  ]);
  return {
    ...described,
    images: [...images].sort(),
    ...(values.size === 0 ? {} : { values: [...values].sort() }),
    ...(overrides.length === 0 ? {} : { overrides: overrides.map((override) => override.name) }),
    ...(secrets.length === 0 ? {} : { secrets: secrets.map((secret) => secret.name).sort() }),
  };
}

export function ownerReference({ apiVersion, kind, metadata }: Application): OwnerReference {
  return {
    apiVersion,
    kind,
    name: metadata.name,
    uid: metadata.uid ?? '',
    controller: true,
    blockOwnerDeletion: true,
  };
}

/** Whether this very Application (not one of the same name before it) made the object. */
export function isOwnedBy(object: KubeObject, application: KubeObject): boolean {
  return (object.metadata.ownerReferences ?? []).some((owner) => owner.uid === application.metadata.uid);
}
