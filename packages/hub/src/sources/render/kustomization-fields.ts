import { isObject } from '@selvedge/api';

/** What a field holds: a text or other plain value, anything (a map of the user's own names), a list of a form, or an object of these fields. */
type Form = 'plain' | 'any' | 'reference' | 'file' | 'keyed file' | readonly [Form] | Fields;
interface Fields {
  readonly [field: string]: Form;
}

const plain = 'plain';
const names = [plain] as const;
const files = ['file'] as const;
const references = ['reference'] as const;

const groupVersionKind: Fields = { group: plain, version: plain, kind: plain };
const selector: Fields = {
  ...groupVersionKind,
  name: plain,
  namespace: plain,
  annotationSelector: plain,
  labelSelector: plain,
};
const fieldSpec: Fields = { ...groupVersionKind, path: plain, create: plain };
const generatorOptions: Fields = {
  labels: 'any',
  annotations: 'any',
  disableNameSuffixHash: plain,
  immutable: plain,
};
const configMapGenerator: Fields = {
  namespace: plain,
  name: plain,
  behavior: plain,
  literals: names,
  files: ['keyed file'],
  envs: files,
  env: 'file',
  options: generatorOptions,
};
const patch: Fields = { path: 'file', patch: plain, target: selector, options: 'any' };
const fieldOptions: Fields = { delimiter: plain, index: plain, encoding: plain, create: plain };

/** Every field of a Kustomization and a Component that is carried out here, as kustomize writes it. */
export const kustomizationFields: Fields = {
  apiVersion: plain,
  kind: plain,
  metadata: { name: plain, namespace: plain, labels: 'any', annotations: 'any' },
  openapi: { path: 'file' },
  namePrefix: plain,
  nameSuffix: plain,
  namespace: plain,
  commonLabels: 'any',
  commonAnnotations: 'any',
  labels: [
    {
      pairs: 'any',
      includeSelectors: plain,
      includeTemplates: plain,
      fields: [fieldSpec],
      fieldSpecs: [fieldSpec],
    },
  ],
  patches: [patch],
  patchesStrategicMerge: references,
  patchesJson6902: [patch],
  images: [{ name: plain, newName: plain, tagSuffix: plain, newTag: plain, digest: plain }],
  replacements: [
    {
      path: 'file',
      source: { ...selector, fieldPath: plain, options: fieldOptions },
      sourceValue: plain,
      targets: [{ select: selector, reject: [selector], fieldPaths: names, options: fieldOptions }],
    },
  ],
  replicas: [{ name: plain, count: plain }],
  vars: [
    {
      name: plain,
      objref: { apiVersion: plain, ...groupVersionKind, name: plain, namespace: plain },
      fieldref: { fieldPath: plain, fieldpath: plain },
    },
  ],
  sortOptions: { order: plain, legacySortOptions: { orderFirst: names, orderLast: names } },
  resources: references,
  bases: references,
  components: references,
  crds: files,
  configMapGenerator: [configMapGenerator],
  secretGenerator: [{ ...configMapGenerator, type: plain }],
  generatorOptions,
  configurations: files,
  generators: references,
  transformers: references,
  validators: references,
  buildMetadata: names,
};

/** Fields that name files or folders, which may hold kustomizations, or hold what would stand there. */
export const referenceFields = Object.keys(kustomizationFields).filter(
  (field) => kustomizationFields[field] === references,
);

/** Why a kustomization is refused; thrown by `checkKustomization`. */
export class KustomizationFault extends Error {}

/**
 * Throws `KustomizationFault` unless an object holds only fields that are known, in exactly this spelling (kustomize itself takes any case), and
 * no address where a file belongs.
 */
export function checkKustomization(content: Record<string, unknown>): void {
  checkFields(content, kustomizationFields, '');
}

function checkFields(value: Record<string, unknown>, fields: Fields, path: string): void {
  for (const [name, inner] of Object.entries(value)) {
    const form = Object.hasOwn(fields, name) ? fields[name] : undefined;
    const at = path === '' ? name : `${path}.${name}`;
    if (form === undefined) throw new KustomizationFault(unknownField(name, at, fields));
    if (inner !== null) checkForm(inner, form, at);
  }
}

function checkForm(value: unknown, form: Form, path: string): void {
  if (form === 'any') return;
  if (Array.isArray(form)) {
    if (!Array.isArray(value)) throw new KustomizationFault(`${path} must be a list`);
    const [inner] = form as readonly [Form];
    for (const [index, item] of value.entries()) {
      if (item !== null) checkForm(item, inner, `${path}[${index}]`);
    }
    return;
  }
  if (typeof form === 'object') {
    if (!isObject(value)) throw new KustomizationFault(`${path} must be an object`);
    checkFields(value, form as Fields, path);
    return;
  }
  if (typeof value === 'object') throw new KustomizationFault(`${path} must be a plain value`);
  if (form === 'file' || form === 'keyed file') refuseAddress(value, path);
}

function unknownField(name: string, at: string, fields: Fields): string {
  if (/^helm(?:Charts|ChartInflationGenerator|Globals)$/i.test(name)) {
    return `${at} is not carried out here: use spec.source.helm, or put the rendered chart there`;
  }
  const meant = Object.keys(fields).find((field) => field.toLowerCase() === name.toLowerCase());
  return `the field ${at.slice(0, 200)} is not known here${meant === undefined ? '' : `: write ${meant}`}`;
}

/** An address, as kustomize and git take them: with a scheme, as git writes hosts, or absolute; also behind the key of a file. */
export function refuseAddress(entry: unknown, path: string): void {
  if (typeof entry !== 'string') return;
  const isAddress = /^[^/]*=/.test(entry) ? [entry, entry.slice(entry.indexOf('=') + 1)] : [entry];
  if (!isAddress.some((text) => /^\s*(?:[a-z][a-z0-9+.-]*:|[\w.-]+@[\w.-]+:)|:\/\//i.test(text))) return;
  throw new KustomizationFault(
    `${path} names an address elsewhere: nothing is fetched when manifests are rendered, so put it into the source`,
  );
}

/** Fields of generators and transformers that name files, in any case. */
const pluginFileFields: ReadonlySet<string> = new Set(['files', 'envs', 'env', 'path', 'paths']);

/** The same for the configuration of a generator or transformer, whatever stands in it. */
export function checkPlugin(value: unknown, path: string): void {
  if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) checkPlugin(item, `${path}[${index}]`);
  } else if (isObject(value)) {
    for (const [name, inner] of Object.entries(value)) {
      const at = path === '' ? name : `${path}.${name}`;
      if (pluginFileFields.has(name.toLowerCase())) {
        for (const entry of Array.isArray(inner) ? inner : [inner]) refuseAddress(entry, at);
      }
      checkPlugin(inner, at);
    }
  }
}
