import { faultOfLabelKey } from './object-name.ts';

/** Value of a site variable. */
export type VariableValue = string | number | boolean;

/** What the references in a release's manifests stand for at one site. */
export interface ReferenceContext {
  readonly siteName: string;
  readonly siteVariables: Readonly<Record<string, VariableValue>>;
  readonly siteLabels: Readonly<Record<string, string>>;
  /** Values at this site of the variables that the application declares. */
  readonly variables: Readonly<Record<string, VariableValue>>;
  readonly releaseName: string;
  readonly applicationName: string;
  readonly applicationNamespace: string;
}

/** A `${…}` in a string of a manifest. */
export type Reference = {
  /** Where the string stands, below the value that was searched: `.spec.containers[0].image`. */
  readonly path: string;
  /** As written: `${site.variables.city}`. */
  readonly text: string;
} /** Of the Site, of its labels, of those that the application declares: by kind. */ & (
  | { readonly kind: ValueKind; readonly name: string }
  | { readonly kind: 'fact'; readonly fact: Fact }
  /** No form that we know; refused at the door. */
  | { readonly kind: 'unknown' }
);

const valueKinds = [
  { kind: 'variable', prefix: 'site.variables.', isName: isVariableName },
  { kind: 'label', prefix: 'site.labels.', isName: (name: string) => faultOfLabelKey(name) === undefined },
  { kind: 'declared', prefix: 'variables.', isName: isVariableName },
] as const;
type ValueKind = (typeof valueKinds)[number]['kind'];

const facts = {
  'site.name': (c: ReferenceContext) => c.siteName,
  'release.name': (c: ReferenceContext) => c.releaseName,
  'application.name': (c: ReferenceContext) => c.applicationName,
  'application.namespace': (c: ReferenceContext) => c.applicationNamespace,
} as const;
type Fact = keyof typeof facts;

/** What a wrong reference is told. */
export const referenceHint =
  '${site.name}, ${site.variables.NAME}, ${site.labels.KEY}, ${variables.NAME}, ${release.name}, ${application.name} and ' +
  '${application.namespace} are known; ' +
  'write $${ for a literal ${';

const variableName = /^[A-Za-z_][A-Za-z0-9_-]{0,62}$/;

/** Letters, digits, `_` and `-`, beginning with a letter or `_`; at most 63. */
export function isVariableName(name: string): boolean {
  return variableName.test(name);
}

/** Every reference in any string of a JSON value, in document order. Keys of objects are not searched. */
export function findReferences(value: unknown): Reference[] {
  const found: Reference[] = [];
  visitStrings(value, '', (text, path) => {
    for (const match of text.matchAll(tokens())) {
      if (match[0] !== escaped) found.push(parseReference(match[0], path));
    }
  });
  return found;
}

/**
 * The value with its references replaced; parts without any are shared, not copied. `missing` names what the context lacks, each once, sorted, as
 * in `site.variables.city`; their references stay as they are. A string that is exactly one reference takes the value's own type. What is put
 * in is not searched again.
 */
export function resolveReferences<T>(value: T, context: ReferenceContext): { value: T; missing: string[] } {
  const missing = new Set<string>();
  const lookUp = (text: string): VariableValue => {
    const reference = parseReference(text, '');
    if (reference.kind === 'fact') return facts[reference.fact](context);
    if (reference.kind === 'unknown') return text;
    const found = valueOf(reference, context);
    if (found === undefined) missing.add(text.slice(2, -1));
    return found ?? text;
  };
  const resolveText = (text: string): VariableValue => {
    if (!text.includes('${')) return text;
    const [first] = text.matchAll(tokens());
    if (first && first[0] === text && text !== escaped) return lookUp(text);
    return text.replaceAll(tokens(), (token) => (token === escaped ? '${' : String(lookUp(token))));
  };
  return { value: mapStrings(value, resolveText) as T, missing: [...missing].sort() };
}

function valueOf(
  { kind, name }: { readonly kind: ValueKind; readonly name: string },
  { siteVariables, siteLabels, variables }: ReferenceContext,
): VariableValue | undefined {
  const values = { variable: siteVariables, label: siteLabels, declared: variables }[kind];
  return Object.hasOwn(values, name) ? values[name] : undefined;
}

const escaped = '$${';
/** `$${`, `${…}`, or a `${` that is never closed. */
const tokens = () => /\$\$\{|\$\{[^{}]*\}|\$\{/g;

function parseReference(text: string, path: string): Reference {
  const body = text.slice(2, -1);
  if (text.endsWith('}')) {
    if (Object.hasOwn(facts, body)) return { path, text, kind: 'fact', fact: body as Fact };
    for (const { kind, prefix, isName } of valueKinds) {
      const name = body.slice(prefix.length);
      if (body.startsWith(prefix) && isName(name)) return { path, text, kind, name };
    }
  }
  return { path, text, kind: 'unknown' };
}

function visitStrings(value: unknown, path: string, visit: (text: string, path: string) => void): void {
  if (typeof value === 'string') visit(value, path);
  else if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) visitStrings(item, `${path}[${index}]`, visit);
  } else if (typeof value === 'object' && value !== null) {
    for (const [key, item] of Object.entries(value)) visitStrings(item, childPath(path, key), visit);
  }
}

/** Keys that are no plain words stand in brackets, as Kubernetes writes them. */
function childPath(path: string, key: string): string {
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(key) ? `${path}.${key}` : `${path}[${key}]`;
}

/** Copies only what changes, and what stands around it. */
function mapStrings(value: unknown, map: (text: string) => VariableValue): unknown {
  if (typeof value === 'string') return map(value);
  if (typeof value !== 'object' || value === null) return value;
  let copy: Record<string, unknown> | undefined;
  for (const [key, item] of Object.entries(value)) {
    const mapped = mapStrings(item, map);
    if (mapped === item) continue;
    copy ??= (Array.isArray(value) ? [...value] : { ...value }) as Record<string, unknown>;
    if (key === '__proto__') Object.defineProperty(copy, key, { ...plainProperty, value: mapped });
    else copy[key] = mapped;
  }
  return copy ?? value;
}

const plainProperty = { writable: true, enumerable: true, configurable: true } as const;
