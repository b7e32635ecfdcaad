import { isDeepStrictEqual } from 'node:util';
import {
  type FieldError,
  fieldInvalid,
  type KubeObject,
  type RegistryCredential,
  type RegistryCredentialSpec,
  registryCredentialSpecSchema,
  registryCredentials,
  registryCredentialStatusSchema,
  StatusError,
} from '@selvedge/api';
import type { AdmissionContext, ResourceDefinition } from '@selvedge/apiserver';
import { requireSecretAccess, type SecretMention } from './require-secret-access.ts';

/** Its name is a part of another name. */
const maxNameLength = 200;

/** Name for RBAC of the identity that stands in the hub's own environment; the verb is `use`. */
export const hubIdentityName = 'hub-environment';

export const registryCredentialDefinition: ResourceDefinition = {
  ref: registryCredentials,
  singular: 'registrycredential',
  shortNames: ['rc'],
  categories: ['selvedge'],
  description:
    'How applications of the namespace, at the hub and at their sites, read images from registries.',
  statusSubresource: true,
  schema: {
    type: 'object',
    required: ['spec'],
    properties: { spec: registryCredentialSpecSchema, status: registryCredentialStatusSchema },
  },
  validate: (object) => validateRegistryCredential(object as RegistryCredential),
  admit: async (object, previous, context) =>
    refuseForeignLogin(object as RegistryCredential, previous as RegistryCredential | undefined, context),
  columns: [
    {
      name: 'Registries',
      type: 'string',
      description: 'What it opens.',
      value: (o) => (o as RegistryCredential).spec.registries.join(','),
    },
    {
      name: 'Kind',
      type: 'string',
      description: 'Where the login comes from.',
      value: (o) => ((o as RegistryCredential).spec.ecr === undefined ? 'static' : 'ecr'),
    },
    {
      name: 'Ready',
      type: 'string',
      description: 'Whether it can be used.',
      value: (o) => readiness(o),
    },
    {
      name: 'Expires',
      type: 'string',
      description: 'When the present token expires; the hub asks for another long before.',
      value: (o) => (o as RegistryCredential).status?.expiresTime,
    },
  ],
};

function readiness(object: KubeObject): string | undefined {
  const { status } = object as RegistryCredential;
  const ready = status?.conditions?.find((condition) => condition.type === 'Ready');
  return ready && (ready.status === 'True' ? 'True' : (ready.reason ?? ready.status));
}

const registryPattern =
  /^(?:\[[0-9a-f:.]+\]|[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)(?::\d{1,5})?(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;

function validateRegistryCredential({ metadata, spec }: RegistryCredential): FieldError[] {
  const errors = spec.registries.flatMap((registry, index) =>
    registryPattern.test(registry)
      ? []
      : [
          fieldInvalid(
            `spec.registries[${index}]`,
            registry,
            'must be host, host:port or host/path of a registry: lower case, without https:// and without a tag',
          ),
        ],
  );
  if (metadata.name.length > maxNameLength) {
    errors.push(
      fieldInvalid('metadata.name', metadata.name, `must be no more than ${maxNameLength} characters`),
    );
  }
  const { endpoint } = spec.ecr ?? {};
  if (endpoint !== undefined && !isEndpoint(endpoint)) {
    errors.push(
      fieldInvalid('spec.ecr.endpoint', endpoint, 'must be an https:// address without a password'),
    );
  }
  return errors;
}

/** http is for a name that the operator of the hub has called insecure; the controller sees to that. */
function isEndpoint(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, username, password, search, hash } = new URL(text);
  const isBare = username === '' && password === '' && search === '' && hash === '';
  return isBare && (protocol === 'https:' || protocol === 'http:');
}

function refuseForeignLogin(
  object: RegistryCredential,
  previous: RegistryCredential | undefined,
  context: AdmissionContext,
): void {
  if (previous !== undefined && isDeepStrictEqual(previous.spec, object.spec)) return;
  requireSecretAccess({ object, ref: registryCredentials }, mentionsOf(object.spec), context);
  if (object.spec.ecr === undefined || object.spec.ecr.secretRef !== undefined) return;
  const { group, version, plural: resource } = registryCredentials;
  const { name, namespace } = object.metadata;
  const wanted = { verb: 'use', group, version, resource, namespace, name: hubIdentityName };
  if (context.authorizer.decide(context.user, wanted).allowed) return;
  throw new StatusError(
    'Forbidden',
    `registrycredentials.selvedge.dev "${name}" is forbidden: without spec.ecr.secretRef it asks as the hub itself, and user ` +
      `${JSON.stringify(context.user.name)} needs the verb "use" on registrycredentials "${hubIdentityName}" for that ` +
      '(ClusterRole selvedge:hub-identity-user gives it)',
    { details: { name, group, kind: resource } },
  );
}

function mentionsOf({ static: fixed, ecr }: RegistryCredentialSpec): SecretMention[] {
  return [
    ...(fixed === undefined ? [] : [{ path: 'spec.static.secretRef.name', name: fixed.secretRef.name }]),
    ...(ecr?.secretRef === undefined ? [] : [{ path: 'spec.ecr.secretRef.name', name: ecr.secretRef.name }]),
  ];
}
