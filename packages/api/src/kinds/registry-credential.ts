import Type, { type Static } from 'typebox';
import type { KubeObject, ObjectMeta, ResourceRef } from '../object-meta.ts';
import { conditionsSchema, timeSchema } from './status-schemas.ts';

export const registryCredentials: ResourceRef = {
  group: 'selvedge.dev',
  version: 'v1alpha1',
  plural: 'registrycredentials',
  kind: 'RegistryCredential',
  namespaced: true,
};

const secretReference = (description: string) =>
  Type.Object(
    { name: Type.String({ minLength: 1, maxLength: 253, description: 'Name of the Secret.' }) },
    { description },
  );

export const registryCredentialSpecSchema = Type.Object(
  {
    registries: Type.Array(Type.String({ minLength: 1, maxLength: 253 }), {
      minItems: 1,
      maxItems: 20,
      description: 'host[:port] of the registries that it opens, or host[:port]/path for a part of one.',
      'x-kubernetes-list-type': 'set',
    }),
    static: Type.Optional(
      Type.Object(
        {
          secretRef: secretReference(
            'Secret of this namespace: username and password, or type kubernetes.io/dockerconfigjson.',
          ),
        },
        { description: 'A name and a password that do not expire by themselves.' },
      ),
    ),
    ecr: Type.Optional(
      Type.Object(
        {
          region: Type.String({
            pattern: '^[a-z]{2}(-[a-z]+)+-[0-9]$',
            description: 'AWS region: eu-central-1.',
          }),
          secretRef: Type.Optional(
            secretReference(
              'Secret of this namespace: aws_access_key_id, aws_secret_access_key, optionally aws_session_token. Default: the environment of the hub.',
            ),
          ),
          endpoint: Type.Optional(
            Type.String({
              maxLength: 500,
              description:
                'https:// address of the ECR API, for a private endpoint; default that of the region.',
            }),
          ),
        },
        { description: 'Amazon ECR: GetAuthorizationToken, asked for again before it expires.' },
      ),
    ),
  },
  {
    description: 'How to read images from registries that want a name.',
    'x-kubernetes-validations': [
      {
        rule: '[has(self.static), has(self.ecr)].filter(x, x).size() == 1',
        message: 'give exactly one of static, ecr',
      },
    ],
  },
);
export type RegistryCredentialSpec = Static<typeof registryCredentialSpecSchema>;

export const registryCredentialStatusSchema = Type.Object(
  {
    expiresTime: Type.Optional(timeSchema('When the present token expires; absent: never.')),
    refreshedTime: Type.Optional(timeSchema('When it was had.')),
    /** Ready. */
    conditions: Type.Optional(conditionsSchema),
  },
  { description: 'Whether it can be used.' },
);
export type RegistryCredentialStatus = Static<typeof registryCredentialStatusSchema>;

export interface RegistryCredential extends KubeObject {
  apiVersion: 'selvedge.dev/v1alpha1';
  kind: 'RegistryCredential';
  metadata: ObjectMeta;
  spec: RegistryCredentialSpec;
  status?: RegistryCredentialStatus;
}
