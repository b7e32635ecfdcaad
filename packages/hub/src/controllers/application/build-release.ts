import {
  type Application,
  canonicalJson,
  deliveryRules,
  describeManifests,
  type KubeObject,
  type OwnerReference,
  type Release,
  releaseContent,
  releaseName,
} from '@selvedge/api';
import { sha256Digest } from '@selvedge/api/node';

export interface BuiltRelease {
  readonly release: Release;
  readonly bytes: () => Uint8Array;
}

/** The Release that an Application's present content makes. Pure: the same content makes the same bytes and name. */
export function buildRelease(application: Application): BuiltRelease {
  const manifests = (application.spec.source.inline?.manifests ?? []) as KubeObject[];
  const { name, namespace = '' } = application.metadata;
  const rules = deliveryRules(application.spec);
  const bytes = () => new TextEncoder().encode(canonicalJson(releaseContent(manifests, rules, name)));
  const content = bytes();
  const digest = sha256Digest(content);
  return {
    bytes,
    release: {
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
        sizeBytes: content.length,
        ...describeManifests(manifests, namespace),
        ...(rules.nodeGroups === undefined ? {} : { nodeGroups: [...rules.nodeGroups] }),
        ...(rules.apply === undefined ? {} : { apply: rules.apply }),
      },
    },
  };
}

/** Remembers what was built last of each Application: status changes often, content seldom. */
export class ReleaseBuilder {
  readonly #built = new Map<string, { version: string; built: BuiltRelease }>();

  build(key: string, application: Application): BuiltRelease {
    const version = `${application.metadata.uid}/${application.metadata.generation}`;
    const known = this.#built.get(key);
    if (known?.version === version) return known.built;
    const built = buildRelease(application);
    this.#built.set(key, { version, built });
    return built;
  }

  forget(key: string): void {
    this.#built.delete(key);
  }
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
