import {
  type ApplyRules,
  type FieldError,
  faultOfDnsLabel,
  faultOfDnsSubdomain,
  fieldDuplicate,
  fieldForbidden,
  fieldInvalid,
} from '@selvedge/api';
import { compileCondition } from '@selvedge/api/cel';

type IgnoreRule = NonNullable<ApplyRules['ignoreDifferences']>[number];
type HealthRule = NonNullable<ApplyRules['health']>[number];

/** Beyond the schema: whether sites will be able to make sense of the rules. */
export function validateApplyRules(rules: ApplyRules | undefined, path: string): FieldError[] {
  const { ignoreDifferences = [], health = [] } = rules ?? {};
  return [
    ...ignoreDifferences.flatMap((rule, n) => validateIgnoreRule(rule, `${path}.ignoreDifferences[${n}]`)),
    ...health.flatMap((rule, n) => validateHealthRule(rule, `${path}.health[${n}]`)),
    ...duplicateHealthRules(health, `${path}.health`),
  ];
}

function validateIgnoreRule(rule: IgnoreRule, path: string): FieldError[] {
  const errors = validateKind(rule, path);
  const namespaceFault = rule.namespace === undefined ? undefined : faultOfDnsLabel(rule.namespace);
  if (namespaceFault) errors.push(fieldInvalid(`${path}.namespace`, rule.namespace, namespaceFault));
  const seen = new Set<string>();
  for (const [n, pointer] of rule.jsonPointers.entries()) {
    const at = `${path}.jsonPointers[${n}]`;
    const fault = faultOfPointer(pointer);
    if (fault !== undefined) errors.push(fieldInvalid(at, pointer, fault));
    else if (isIdentity(pointer)) errors.push(fieldForbidden(at, `${pointer} says which object it is`));
    else if (seen.has(pointer)) errors.push(fieldDuplicate(at, pointer));
    seen.add(pointer);
  }
  return errors;
}

/** RFC 6901: in a part `~` stands only as `~0` (for `~`) or `~1` (for `/`). */
function faultOfPointer(pointer: string): string | undefined {
  if (!pointer.startsWith('/')) return 'must be a JSON pointer, as in /spec/replicas';
  if (/~(?![01])/.test(pointer)) return "must write '~' within a name as ~0, and '/' as ~1 (RFC 6901)";
  return undefined;
}

const identityPointers: ReadonlySet<string> = new Set([
  '/apiVersion',
  '/kind',
  '/metadata',
  '/metadata/name',
  '/metadata/namespace',
  '/metadata/labels/applyset.kubernetes.io~1part-of',
]);

function isIdentity(pointer: string): boolean {
  return identityPointers.has(pointer);
}

function validateHealthRule(rule: HealthRule, path: string): FieldError[] {
  const errors = validateKind(rule, path);
  for (const field of ['current', 'failed'] as const) {
    const text = rule[field];
    const fault = text === undefined ? undefined : faultOfCondition(text);
    if (fault !== undefined) {
      errors.push(
        fieldInvalid(`${path}.${field}`, text, `must be CEL over self that is true or false: ${fault}`),
      );
    }
  }
  return errors;
}

function faultOfCondition(text: string): string | undefined {
  try {
    compileCondition(text);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/** Which of two rules for one kind counts nobody could tell. */
function duplicateHealthRules(health: readonly HealthRule[], path: string): FieldError[] {
  const seen = new Set<string>();
  return health.flatMap(({ apiVersion, kind }, n) => {
    const key = `${apiVersion} ${kind}`;
    if (seen.has(key)) return [fieldDuplicate(`${path}[${n}]`, key, 'give one rule for each kind')];
    seen.add(key);
    return [];
  });
}

function validateKind(
  { apiVersion, kind }: { apiVersion: string; kind: string },
  path: string,
): FieldError[] {
  const parts = apiVersion.split('/');
  const version = parts.at(-1) ?? '';
  const group = parts.length === 2 ? parts[0] : undefined;
  const isVersion =
    parts.length <= 2 &&
    faultOfDnsLabel(version) === undefined &&
    (group === undefined || faultOfDnsSubdomain(group) === undefined);
  return [
    ...(isVersion
      ? []
      : [fieldInvalid(`${path}.apiVersion`, apiVersion, "must be 'version' or 'group/version'")]),
    ...(/^[A-Z][A-Za-z0-9]*$/.test(kind)
      ? []
      : [fieldInvalid(`${path}.kind`, kind, "must be the name of a kind, as in 'Deployment'")]),
  ];
}
