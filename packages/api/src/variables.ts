/** Value of a site variable. */
export type VariableValue = string | number | boolean;

/** What the references in a release's manifests stand for at one site. */
export interface ReferenceContext {
  readonly siteName: string;
  readonly siteVariables: Readonly<Record<string, VariableValue>>;
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
} & (
  | { readonly kind: 'variable'; readonly name: string }
  | { readonly kind: 'fact'; readonly fact: Fact }
  /** No form that we know; refused at the door. */
  | { readonly kind: 'unknown' }
);

const facts = {
  'site.name': (c: ReferenceContext) => c.siteName,
  'release.name': (c: ReferenceContext) => c.releaseName,
  'application.name': (c: ReferenceContext) => c.applicationName,
  'application.namespace': (c: ReferenceContext) => c.applicationNamespace,
} as const;
type Fact = keyof typeof facts;

/** What a wrong reference is told. */
export const referenceHint =
  '${site.name}, ${site.variables.NAME}, ${release.name}, ${application.name} and ${application.namespace} are known; ' +
  'write $${ for a literal ${';

const variableName = /^[A-Za-z_][A-Za-z0-9_-]{0,62}$/;
const variablePrefix = 'site.variables.';

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
 * The value with its references replaced. `missing` names the variables that the context lacks, each once, sorted; their
 * references stay as they are. A string that is exactly one reference takes the value's own type.
 */
export function resolveReferences<T>(value: T, context: ReferenceContext): { value: T; missing: string[] } {
  const missing = new Set<string>();
  const lookUp = (text: string): VariableValue => {
    const reference = parseReference(text, '');
    if (reference.kind === 'fact') return facts[reference.fact](context);
    if (reference.kind === 'unknown') return text;
    const { siteVariables } = context;
    const found = Object.hasOwn(siteVariables, reference.name) ? siteVariables[reference.name] : undefined;
    if (found === undefined) missing.add(reference.name);
    return found ?? text;
  };
  const resolveText = (text: string): VariableValue => {
    const [first] = text.matchAll(tokens());
    if (first && first[0] === text && text !== escaped) return lookUp(text);
    return text.replaceAll(tokens(), (token) => (token === escaped ? '${' : String(lookUp(token))));
  };
  return { value: mapStrings(value, resolveText) as T, missing: [...missing].sort() };
}

const escaped = '$${';
/** `$${`, `${…}`, or a `${` that is never closed. */
const tokens = () => /\$\$\{|\$\{[^{}]*\}|\$\{/g;

function parseReference(text: string, path: string): Reference {
  const body = text.slice(2, -1);
  if (text.endsWith('}')) {
    if (Object.hasOwn(facts, body)) return { path, text, kind: 'fact', fact: body as Fact };
    const name = body.slice(variablePrefix.length);
    if (body.startsWith(variablePrefix) && isVariableName(name))
      return { path, text, kind: 'variable', name };
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

function mapStrings(value: unknown, map: (text: string) => VariableValue): unknown {
  if (typeof value === 'string') return map(value);
  if (Array.isArray(value)) return value.map((item) => mapStrings(item, map));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, mapStrings(item, map)]));
}
