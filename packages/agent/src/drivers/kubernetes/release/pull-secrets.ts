import {
  findForRepository,
  imageRepository,
  type KubeObject,
  type ScopedLogin,
  writeDockerConfig,
} from '@selvedge/api';
import { shortenedName } from '@selvedge/api/node';
import { podOwnerOf } from './node-groups.ts';

const longestName = 253;

/** Name of the Secret by which pods of an application pull. */
export function pullSecretName(application: string): string {
  return shortenedName(`selvedge-pull-${application}`, longestName);
}

export interface Pulls {
  /** Registries that pods of the release pull from by the Secret: they name it whether it is there or not, so no login that comes or goes changes them. */
  readonly registries: readonly string[];
  readonly logins: readonly ScopedLogin[];
}

/** Logins for these registries alone. */
export function usableLogins({ registries, logins }: Pulls): readonly ScopedLogin[] {
  return logins.filter(({ registry }) => registries.includes(registry));
}

/**
 * Gives pods whose images are in one of the registries an image pull secret, and the release the Secret, in each namespace where it has such pods
 * and a login for them. Pure; the same manifests when there are none.
 */
export function addPullSecrets(
  manifests: readonly KubeObject[],
  pulls: Pulls,
  application: { readonly namespace: string; readonly name: string },
): readonly KubeObject[] {
  if (pulls.registries.length === 0) return manifests;
  const scopes = pulls.registries.map((registry) => ({ registry }));
  const logins = usableLogins(pulls);
  const name = pullSecretName(application.name);
  const byNamespace = new Map<string, Set<ScopedLogin>>();
  const placed = manifests.map((object) => {
    const spec = podOwnerOf(object)?.['spec'];
    if (scopesFor(spec, scopes).length === 0) return object;
    const used = scopesFor(spec, logins);
    const namespace = object.metadata.namespace ?? application.namespace;
    const known = byNamespace.get(namespace) ?? new Set();
    byNamespace.set(namespace, known);
    for (const login of used) known.add(login);
    return withPullSecret(object, name);
  });
  const secrets = [...byNamespace].flatMap(([namespace, used]) =>
    used.size === 0 ? [] : [pullSecret(name, namespace, [...used])],
  );
  return [...placed, ...secrets];
}

function pullSecret(name: string, namespace: string, logins: readonly ScopedLogin[]): KubeObject {
  const config = writeDockerConfig(logins.toSorted((a, b) => (a.registry < b.registry ? -1 : 1)));
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name, namespace },
    type: 'kubernetes.io/dockerconfigjson',
    data: { '.dockerconfigjson': Buffer.from(config, 'utf8').toString('base64') },
  } as KubeObject;
}

function withPullSecret(object: KubeObject, name: string): KubeObject {
  const copy = structuredClone(object);
  const spec = podOwnerOf(copy)?.['spec'] as { imagePullSecrets?: { name: string }[] };
  const others = (spec.imagePullSecrets ?? []).filter((one) => one.name !== name);
  spec.imagePullSecrets = [...others, { name }];
  return copy;
}

/** Of each image the scope that says most about it. */
function scopesFor<T extends { readonly registry: string }>(podSpec: unknown, scopes: readonly T[]): T[] {
  const spec = (podSpec ?? {}) as Record<string, unknown>;
  const containers = ['initContainers', 'containers'].flatMap((field) =>
    Array.isArray(spec[field]) ? (spec[field] as { image?: unknown }[]) : [],
  );
  const found = containers.flatMap(({ image }) => {
    const repository = typeof image === 'string' ? imageRepository(image) : undefined;
    if (repository === undefined) return [];
    return findForRepository(scopes, repository, ({ registry }) => registry) ?? [];
  });
  return [...new Set(found)];
}
