import {
  type Application,
  type FieldError,
  faultOfDnsSubdomain,
  faultOfLabelKey,
  fieldDuplicate,
  fieldForbidden,
  fieldInvalid,
  fieldRequired,
  findReferences,
  isVariableName,
  type Override,
  referenceHint,
  type Variable,
  validateLabelSelector,
} from '@selvedge/api';

type Spec = Pick<Application['spec'], 'overrides' | 'variables' | 'secrets' | 'source'>;
type Patch = NonNullable<Override['patches']>[number];

/** Beyond the schema, what can be said without the manifests: those come later, from sources. */
export function validateOverrides({
  overrides = [],
  variables = [],
  secrets = [],
  source,
}: Spec): FieldError[] {
  return [
    ...duplicates(overrides, 'spec.overrides'),
    ...overrides.flatMap((override, n) => validateOverride(override, `spec.overrides[${n}]`)),
    ...overrides.flatMap(({ helmValues }, n) =>
      helmValues === undefined || source.helm !== undefined
        ? []
        : [fieldForbidden(`spec.overrides[${n}].helmValues`, 'goes with source helm')],
    ),
    ...duplicates(variables, 'spec.variables'),
    ...variables.flatMap((variable, n) => validateVariable(variable, `spec.variables[${n}]`)),
    ...undeclared({ overrides, variables, source }),
    ...secretNames(secrets),
  ];
}

function duplicates(items: readonly { readonly name: string }[], path: string): FieldError[] {
  const seen = new Set<string>();
  return items.flatMap(({ name }, n) => {
    if (seen.has(name)) return [fieldDuplicate(`${path}[${n}].name`, name)];
    seen.add(name);
    return [];
  });
}

function validateOverride(override: Override, path: string): FieldError[] {
  const { siteSelector, patches = [], images = [], replicas = [], helmValues } = override;
  const isEmpty = patches.length + images.length + replicas.length === 0 && helmValues === undefined;
  return [
    ...validateLabelSelector(siteSelector, `${path}.siteSelector`),
    ...(isEmpty ? [fieldRequired(path, 'say what differs: patches, images, replicas or helmValues')] : []),
    ...patches.flatMap((patch, n) => validatePatch(patch, `${path}.patches[${n}]`)),
    ...images.flatMap(({ name, newName, newTag, digest }, n) => {
      const at = `${path}.images[${n}]`;
      if (newName === undefined && newTag === undefined && digest === undefined) {
        return [fieldRequired(at, 'name what becomes of it: newName, newTag or digest')];
      }
      return [faultOfImageName(`${at}.name`, name), faultOfImageName(`${at}.newName`, newName)].flat();
    }),
  ];
}

/** A tag or digest has a field of its own. */
function faultOfImageName(path: string, name: string | undefined): FieldError[] {
  if (name === undefined) return [];
  const last = name.slice(name.lastIndexOf('/') + 1);
  return /[:@]/.test(last) ? [fieldInvalid(path, name, 'must have no tag and no digest')] : [];
}

function validatePatch(patch: Patch, path: string): FieldError[] {
  const { target, jsonPatch = [], mergePatch, strategicMergePatch } = patch;
  const values = { jsonPatch, mergePatch, strategicMergePatch };
  return [
    ...(target.labelSelector
      ? validateLabelSelector(target.labelSelector, `${path}.target.labelSelector`)
      : []),
    ...jsonPatch.flatMap(({ op, path: pointer, from }, n) => {
      const at = `${path}.jsonPatch[${n}]`;
      return [
        ...(operations.has(op)
          ? []
          : [fieldInvalid(`${at}.op`, op, `must be one of ${[...operations].join(', ')}`)]),
        ...faultOfPointer(`${at}.path`, pointer),
        ...(op === 'move' || op === 'copy' ? faultOfPointer(`${at}.from`, from ?? '') : []),
      ];
    }),
    ...findReferences(values)
      .filter(({ kind }) => kind === 'unknown')
      // What looks like a reference in a Secret may be a piece of a password.
      .map((found) => fieldInvalid(`${path}${found.path}`, '${…}', referenceHint)),
  ];
}

const operations: ReadonlySet<string> = new Set(['add', 'remove', 'replace', 'move', 'copy', 'test']);

function faultOfPointer(path: string, pointer: string): FieldError[] {
  const isPointer = pointer.startsWith('/') && !/~(?![01])/.test(pointer);
  return isPointer ? [] : [fieldInvalid(path, pointer, 'must be a JSON pointer, as in /spec/replicas')];
}

function validateVariable({ from = [] }: Variable, path: string): FieldError[] {
  return from.flatMap(({ siteVariable, siteLabel, configMapKeyRef }, n) => {
    const at = `${path}.from[${n}]`;
    const errors: FieldError[] = [];
    if (siteVariable !== undefined && !isVariableName(siteVariable)) {
      errors.push(
        fieldInvalid(`${at}.siteVariable`, siteVariable, 'must be the name of a variable of Sites'),
      );
    }
    const labelFault = siteLabel === undefined ? undefined : faultOfLabelKey(siteLabel);
    if (labelFault !== undefined) errors.push(fieldInvalid(`${at}.siteLabel`, siteLabel, labelFault));
    if (configMapKeyRef === undefined) return errors;
    const nameFault = faultOfDnsSubdomain(configMapKeyRef.name);
    if (nameFault !== undefined) {
      errors.push(fieldInvalid(`${at}.configMapKeyRef.name`, configMapKeyRef.name, nameFault));
    }
    if (!/^[-._a-zA-Z0-9]+$/.test(configMapKeyRef.key.replaceAll('${site.name}', 'x'))) {
      const rule = "must be a key of a ConfigMap: letters, digits, '-', '_', '.', and ${site.name}";
      errors.push(fieldInvalid(`${at}.configMapKeyRef.key`, configMapKeyRef.key, rule));
    }
    return errors;
  });
}

/** `${variables.NAME}` that stands in the Application itself; what comes from elsewhere is looked at when a release is made. */
function undeclared({
  overrides = [],
  variables = [],
  source,
}: Pick<Spec, 'overrides' | 'variables' | 'source'>): FieldError[] {
  const declared = new Set(variables.map(({ name }) => name));
  const places = [
    { path: 'spec.source.inline.manifests', value: source.inline?.manifests ?? [] },
    { path: 'spec.overrides', value: overrides.map(({ patches = [] }) => ({ patches })) },
  ];
  return places.flatMap(({ path, value }) =>
    findReferences(value).flatMap((found) =>
      found.kind === 'declared' && !declared.has(found.name)
        ? [fieldInvalid(`${path}${found.path}`, found.text, `spec.variables does not declare ${found.name}`)]
        : [],
    ),
  );
}

function secretNames(secrets: NonNullable<Spec['secrets']>): FieldError[] {
  const seen = new Set<string>();
  return secrets.flatMap(({ name, as = name }, n) => {
    const path = `spec.secrets[${n}]`;
    const fault = faultOfDnsSubdomain(name) ?? faultOfDnsSubdomain(as);
    if (fault !== undefined) return [fieldInvalid(path, as, fault)];
    if (seen.has(as)) return [fieldDuplicate(path, as, 'two Secrets would have this name at the site')];
    seen.add(as);
    return [];
  });
}
