import { type FieldError, fieldInvalid, fieldRequired, type Secret, secrets } from '@selvedge/api';
import type { JsonSchema, ResourceDefinition } from '@selvedge/apiserver';
import { validateImmutable, validateKeys, validateSize } from './data-rules.ts';

const text = (description: string): JsonSchema => ({ type: 'string', description });

export const secretDefinition: ResourceDefinition = {
  ref: secrets,
  singular: 'secret',
  description: 'Passwords, keys and the like. Encrypted in the store.',
  statusSubresource: false,
  strategicMergePatch: true,
  sensitive: true,
  schema: {
    type: 'object',
    properties: {
      type: { ...text('What kind of secret it is. Cannot be changed.'), default: 'Opaque' },
      data: {
        type: 'object',
        additionalProperties: { type: 'string', format: 'byte' },
        description: 'Bytes by key, in base64.',
      },
      stringData: {
        type: 'object',
        additionalProperties: { type: 'string' },
        description: 'Texts by key, for writing: the server puts them into data.',
      },
      immutable: { type: 'boolean', description: 'true: data cannot be changed any more.' },
    },
  },
  prepare: (object) => {
    const { stringData, ...secret } = object as Secret;
    if (!stringData) return secret;
    const encoded = Object.entries(stringData).map(([key, value]) => [
      key,
      Buffer.from(value, 'utf8').toString('base64'),
    ]);
    return { ...secret, data: { ...secret.data, ...Object.fromEntries(encoded) } };
  },
  validate: (object, previous) => {
    const { data, type } = object as Secret;
    const former = (previous as Secret | undefined)?.type;
    return [
      ...validateKeys(data, 'data'),
      ...validateSize({ base64: Object.values(data ?? {}) }),
      ...validateType(object as Secret),
      ...validateImmutable(object as Secret, previous as Secret | undefined),
      ...(former !== undefined && type !== former ? [fieldInvalid('type', type, 'field is immutable')] : []),
    ];
  },
  selectableFields: { type: (object) => (object as Secret).type ?? '' },
  columns: [
    {
      name: 'Type',
      type: 'string',
      description: 'What kind of secret it is.',
      value: (object) => (object as Secret).type,
    },
    {
      name: 'Data',
      type: 'integer',
      description: 'Number of keys.',
      value: (object) => Object.keys((object as Secret).data ?? {}).length,
    },
  ],
};

/** What has to be in the data of each type; of the lists, one. As Kubernetes. */
const keysOfType: Readonly<Record<string, readonly (readonly string[])[]>> = {
  'kubernetes.io/tls': [['tls.crt'], ['tls.key']],
  'kubernetes.io/basic-auth': [['username', 'password']],
  'kubernetes.io/ssh-auth': [['ssh-privatekey']],
  'kubernetes.io/dockercfg': [['.dockercfg']],
  'kubernetes.io/dockerconfigjson': [['.dockerconfigjson']],
};
const jsonKeys = ['.dockercfg', '.dockerconfigjson'];
const accountAnnotation = 'kubernetes.io/service-account.name';

function validateType({ type = '', data = {}, metadata }: Secret): FieldError[] {
  if (type === 'kubernetes.io/service-account-token' && !metadata.annotations?.[accountAnnotation]) {
    return [fieldRequired(`metadata.annotations[${accountAnnotation}]`, 'names the service account')];
  }
  const wanted = Object.hasOwn(keysOfType, type) ? (keysOfType[type] ?? []) : [];
  const missing = wanted
    .filter((keys) => !keys.some((key) => Object.hasOwn(data, key)))
    .map(([key = '']) => fieldRequired(`data[${key}]`, `a secret of type ${type} has it`));
  const broken = wanted
    .flat()
    .filter((key) => jsonKeys.includes(key) && Object.hasOwn(data, key) && !isJsonObject(data[key] ?? ''))
    .map((key) => fieldInvalid(`data[${key}]`, '<secret contents redacted>', 'must be a JSON object'));
  return [...missing, ...broken];
}

function isJsonObject(base64: string): boolean {
  try {
    const value: unknown = JSON.parse(Buffer.from(base64, 'base64').toString());
    return typeof value === 'object' && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}
