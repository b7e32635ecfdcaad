import { mapImages } from './content/image-names.ts';
import { fieldDuplicate, fieldInvalid, fieldRequired, fieldTooLong } from './field-error.ts';
import { isObject } from './json-value.ts';
import type { KubeObject } from './object-meta.ts';
import { faultOfDnsLabel, faultOfDnsSubdomain } from './object-name.ts';
import { isDeliveryRules } from './rules/delivery-rules.ts';
import type { FieldError } from './status-error.ts';
import { findReferences, referenceHint } from './variables.ts';

/** Most bytes that the manifests of one application may have, as JSON. */
export const manifestsLimitBytes = 2 * 1024 * 1024;

/** What a release is made of, for people and for checks before it is offered to a site. Each list sorted, no doubles. */
export interface ManifestsDescription {
  images: string[];
  /** `Kind/name`; `Kind/namespace/name` outside the application's namespace. */
  resources: string[];
  /** Names of the site variables that the manifests use. */
  variables: string[];
}

/**
 * What is wrong with a list of manifests at `path`. `namespace` is the application's: that of every manifest which
 * names none. Says nothing about the fields of single kinds: a site refuses what it cannot honour.
 */
export function validateManifests(
  manifests: readonly unknown[],
  path: string,
  namespace: string,
): FieldError[] {
  if (manifests.length === 0) {
    return [
      fieldRequired(path, 'name at least one manifest; to remove the application everywhere, delete it'),
    ];
  }
  const bytes = new TextEncoder().encode(JSON.stringify(manifests)).length;
  if (bytes > manifestsLimitBytes) {
    return [
      fieldTooLong(
        path,
        `${inMebibytes(bytes)} of manifests, the limit is ${inMebibytes(manifestsLimitBytes)}: ` +
          'split the application, or put large data into an image',
      ),
    ];
  }
  const errors: FieldError[] = [];
  const firstIndex = new Map<string, number>();
  for (const [index, manifest] of manifests.entries()) {
    const at = `${path}[${index}]`;
    const faults = validateManifest(manifest, at);
    errors.push(...faults);
    if (faults.length > 0) continue;
    const key = manifestKey(manifest as KubeObject, namespace);
    const first = firstIndex.get(key);
    if (first === undefined) firstIndex.set(key, index);
    else errors.push(fieldDuplicate(at, key, `the same resource as ${path}[${first}]`));
  }
  return errors;
}

export function describeManifests(manifests: readonly KubeObject[], namespace: string): ManifestsDescription {
  const images = new Set<string>();
  mapImages(manifests, (image) => {
    images.add(image);
    return image;
  });
  const variables = findReferences(manifests).flatMap((r) => (r.kind === 'variable' ? [r.name] : []));
  const resources = manifests.map((manifest) => manifestName(manifest, namespace));
  return { images: [...images].sort(), resources: sortedSet(resources), variables: sortedSet(variables) };
}

/** For people: `Kind/name`; `Kind/namespace/name` outside the application's namespace. */
export function manifestName({ kind, metadata }: KubeObject, namespace: string): string {
  return metadata.namespace === undefined || metadata.namespace === namespace
    ? `${kind}/${metadata.name}`
    : `${kind}/${metadata.namespace}/${metadata.name}`;
}

function sortedSet(texts: readonly string[]): string[] {
  return [...new Set(texts)].sort();
}

function inMebibytes(bytes: number): string {
  return `${(Math.ceil((bytes * 10) / 1024 / 1024) / 10).toFixed(1)} MiB`;
}

/** What is wrong with one manifest at `path`, whatever stands beside it. */
export function validateManifest(manifest: unknown, path: string): FieldError[] {
  if (!isObject(manifest)) return [fieldInvalid(path, manifest, 'must be a Kubernetes object')];
  if (typeof manifest['kind'] === 'string' && manifest['kind'].endsWith('List') && 'items' in manifest) {
    return [fieldInvalid(`${path}.kind`, manifest['kind'], 'split it: list each of its items as a manifest')];
  }
  if (isDeliveryRules(manifest)) {
    return [
      fieldInvalid(
        `${path}.kind`,
        manifest['kind'],
        'is made by the hub: use spec.apply and spec.placement.nodeGroups',
      ),
    ];
  }
  return [
    ...validateApiVersion(manifest['apiVersion'], `${path}.apiVersion`),
    ...validateKind(manifest['kind'], `${path}.kind`),
    ...validateMetadata(manifest, `${path}.metadata`),
    ...validateReferences(manifest, path),
  ];
}

function validateApiVersion(value: unknown, path: string): FieldError[] {
  if (value === undefined || value === '') return [fieldRequired(path, "name it, as in 'apps/v1'")];
  const parts = typeof value === 'string' ? value.split('/') : [];
  const version = parts.at(-1) ?? '';
  const group = parts.length === 2 ? parts[0] : undefined;
  const isWellFormed =
    (parts.length === 1 || parts.length === 2) &&
    faultOfDnsLabel(version) === undefined &&
    (group === undefined || faultOfDnsSubdomain(group) === undefined);
  return isWellFormed ? [] : [fieldInvalid(path, value, "must be 'version' or 'group/version'")];
}

function validateKind(value: unknown, path: string): FieldError[] {
  if (value === undefined || value === '') return [fieldRequired(path, "name it, as in 'Deployment'")];
  if (typeof value === 'string' && /^[A-Z][A-Za-z0-9]{0,62}$/.test(value)) return [];
  return [fieldInvalid(path, value, "must be the name of a kind, as in 'Deployment'")];
}

function validateMetadata(manifest: Record<string, unknown>, path: string): FieldError[] {
  const metadata = manifest['metadata'];
  if (!isObject(metadata)) return [fieldRequired(`${path}.name`, 'every manifest needs a name')];
  const { name, namespace, generateName } = metadata;
  const errors: FieldError[] = [];
  if (name === undefined || name === '') {
    const why =
      generateName === undefined
        ? 'every manifest needs a name'
        : 'every manifest needs a name that is the same at every site; generateName makes none';
    errors.push(fieldRequired(`${path}.name`, why));
  } else {
    const fault = typeof name === 'string' ? faultOfName(name, manifest) : 'must be a string';
    if (fault) errors.push(fieldInvalid(`${path}.name`, name, fault));
  }
  if (namespace !== undefined) {
    const fault = typeof namespace === 'string' ? faultOfDnsLabel(namespace) : 'must be a string';
    if (fault) errors.push(fieldInvalid(`${path}.namespace`, namespace, fault));
  }
  return errors;
}

/** RBAC names may be any segment of a path, as `system:reader`. */
function faultOfName(name: string, manifest: Record<string, unknown>): string | undefined {
  if (name.includes('${')) return 'must be the same at every site, so no reference can stand in it';
  if (String(manifest['apiVersion']).startsWith('rbac.authorization.k8s.io/')) {
    return name === '.' || name === '..' || /[/%]/.test(name)
      ? "must not be '.' or '..', nor contain '/' or '%'"
      : undefined;
  }
  return faultOfDnsSubdomain(name);
}

function validateReferences(manifest: Record<string, unknown>, path: string): FieldError[] {
  const isSecret = manifest['kind'] === 'Secret';
  return findReferences(manifest)
    .filter((reference) => reference.kind === 'unknown')
    .map((reference) =>
      // What looks like a reference in a Secret may be a piece of a password.
      fieldInvalid(`${path}${reference.path}`, isSecret ? '${…}' : reference.text, referenceHint),
    );
}

/** `Kind[.group]/namespace/name`. Two manifests with one key are the same resource: the version does not tell them apart. */
export function manifestKey({ apiVersion, kind, metadata }: KubeObject, namespace: string): string {
  const group = apiVersion.includes('/') ? `.${apiVersion.split('/')[0]}` : '';
  return `${kind}${group}/${metadata.namespace ?? namespace}/${metadata.name}`;
}
