import {
  type DeliveryRules,
  isObject,
  isSameJson,
  type JsonObject,
  type OverridePatch,
  type ReleaseOverride,
} from '@selvedge/api';

const secretFields = new Set(['data', 'stringData']);
const lastApplied = 'kubectl.kubernetes.io/last-applied-configuration';

/**
 * The manifest as people may see it: of every Secret in it, also within lists and other objects, only the keys are shown, and
 * whether the value of each is that of `other` (the same place on the other side of a comparison): `mark` where it is not.
 */
export function maskSecrets(value: unknown, other: unknown, mark: string): unknown {
  if (Array.isArray(value)) return maskItems(value, other, mark);
  if (!isObject(value)) return value;
  if (value['kind'] === 'Secret') return maskSecret(value, other, mark);
  const others = isObject(other) ? other : {};
  const isSecretList = value['kind'] === 'SecretList';
  let isChanged = false;
  const entries = Object.entries(value).map(([key, field]): [string, unknown] => {
    const shown =
      isSecretList && key === 'items' && Array.isArray(field)
        ? field.map((item) =>
            isObject(item) ? maskSecret(item, findAlike(others[key], item), mark) : 'masked',
          )
        : maskSecrets(field, others[key], mark);
    isChanged ||= shown !== field;
    return [key, shown];
  });
  return isChanged ? withoutNote(Object.fromEntries(entries)) : value;
}

function maskItems(items: readonly unknown[], other: unknown, mark: string): readonly unknown[] {
  const shown = items.map((item) => maskSecrets(item, findAlike(other, item), mark));
  return shown.every((item, index) => item === items[index]) ? items : shown;
}

function maskSecret(secret: JsonObject, other: unknown, mark: string): JsonObject {
  const others = isObject(other) ? other : undefined;
  return withoutNote(
    Object.fromEntries(
      Object.entries(secret).map(([key, field]) => {
        return [key, secretFields.has(key) ? maskValues(field, others, { key, mark }) : field];
      }),
    ),
  );
}

function maskValues(
  values: unknown,
  other: JsonObject | undefined,
  { key, mark }: { key: string; mark: string },
): unknown {
  if (!isObject(values)) return 'masked';
  const others = other?.[key];
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => {
      const isSame = isObject(others) && Object.hasOwn(others, name) && others[name] === value;
      return [name, isSame || other === undefined ? 'masked' : mark];
    }),
  );
}

/** The item with the same name in the list on the other side. */
function findAlike(list: unknown, item: unknown): unknown {
  const name = nameOf(item);
  return Array.isArray(list) && name !== undefined ? list.find((each) => nameOf(each) === name) : undefined;
}

function nameOf(item: unknown): unknown {
  const metadata = isObject(item) ? item['metadata'] : undefined;
  return isObject(metadata) ? metadata['name'] : undefined;
}

/** The same for the rules of a release: patches that may be for Secrets, and manifests of variants. */
export function maskRules(rules: DeliveryRules, other: DeliveryRules, mark: string): unknown {
  const { overrides, variants, ...rest } = rules;
  return {
    ...rest,
    ...(overrides ? { overrides: overrides.map((override) => maskOverride(override, other, mark)) } : {}),
    ...(variants
      ? {
          variants: variants.map((variant) => {
            const key = variant.overrides.join();
            const before = other.variants?.find((each) => each.overrides.join() === key);
            return maskSecrets(variant, before, mark);
          }),
        }
      : {}),
  };
}

function maskOverride(override: ReleaseOverride, other: DeliveryRules, mark: string): unknown {
  const { name, patches } = override;
  if (patches === undefined) return override;
  const others = other.overrides?.find((each) => each.name === name)?.patches ?? [];
  return { ...override, patches: patches.map((patch, n) => maskPatch(patch, others[n], mark)) };
}

/** A patch whose target may be a Secret. */
function maskPatch(patch: OverridePatch, other: OverridePatch | undefined, mark: string): OverridePatch {
  const { kind } = patch.target;
  if (kind !== undefined && kind !== 'Secret') return patch;
  const { jsonPatch, mergePatch, strategicMergePatch } = patch;
  const merged = (value: object, before: object | undefined) => maskSecret({ ...value }, before, mark);
  return {
    ...patch,
    ...(mergePatch ? { mergePatch: merged(mergePatch, other?.mergePatch) } : {}),
    ...(strategicMergePatch
      ? { strategicMergePatch: merged(strategicMergePatch, other?.strategicMergePatch) }
      : {}),
    ...(jsonPatch
      ? {
          jsonPatch: jsonPatch.map((operation, n) => {
            const before: object | undefined = other?.jsonPatch?.[n];
            if (!('value' in operation) || !mayHoldSecret(operation.path)) return operation;
            const isSame =
              before !== undefined && 'value' in before && isSameJson(before.value, operation.value);
            return { ...operation, value: isSame || other === undefined ? 'masked' : mark };
          }),
        }
      : {}),
  };
}

/** The whole object, its data, or something in it. */
function mayHoldSecret(path: string): boolean {
  return path === '' || secretFields.has(path.split('/')[1] ?? '');
}

/** kubectl keeps the whole of what was applied in an annotation, values and all. */
function withoutNote(object: JsonObject): JsonObject {
  const { metadata } = object;
  const annotations = isObject(metadata) ? metadata['annotations'] : undefined;
  if (!isObject(metadata) || !isObject(annotations)) return object;
  const { [lastApplied]: _, ...shown } = annotations;
  return { ...object, metadata: { ...metadata, annotations: shown } };
}
