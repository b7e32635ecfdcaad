import Type, { type Static } from 'typebox';
import type { KubeObject, ObjectMeta, ResourceRef } from '../object-meta.ts';
import { conditionsSchema, fingerprintSchema, timeSchema } from './status-schemas.ts';

export const enrollmentTokens: ResourceRef = {
  group: 'selvedge.dev',
  version: 'v1alpha1',
  plural: 'enrollmenttokens',
  kind: 'EnrollmentToken',
  namespaced: false,
};

export const enrollmentTokenSpecSchema = Type.Object(
  {
    siteName: Type.Optional(
      Type.String({
        description:
          'The site that the agent becomes. With uses > 1 give siteNameTemplate instead. The Site is made when it does not exist.',
        maxLength: 63,
      }),
    ),
    siteNameTemplate: Type.Optional(
      Type.String({
        description: 'Name for new sites; {hostname} and {random} are replaced, as in shop-{hostname}.',
        maxLength: 253,
      }),
    ),
    siteLabels: Type.Optional(
      Type.Record(Type.String(), Type.String(), {
        description: 'Labels put on a Site that this token makes.',
      }),
    ),
    uses: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 100000,
        default: 1,
        description: 'How many agents may join with this token.',
      }),
    ),
    ttl: Type.Optional(
      Type.String({
        default: '24h',
        description: 'How long after its creation the token is valid, as a duration.',
      }),
    ),
    approval: Type.Optional(
      Type.Union([Type.Literal('Automatic'), Type.Literal('Manual')], {
        default: 'Automatic',
        description: 'Manual: the agent waits until a person sets spec.approvedKeys.',
      }),
    ),
    approvedKeys: Type.Optional(
      Type.Array(fingerprintSchema, {
        description: 'With approval Manual: fingerprints of the agent keys that may join.',
        'x-kubernetes-list-type': 'set',
      }),
    ),
  },
  {
    description: 'Who may join, how often and how long.',
    'x-kubernetes-validations': [
      {
        rule: 'has(self.siteName) || has(self.siteNameTemplate)',
        reason: 'FieldValueRequired',
        fieldPath: '.siteName',
        message: 'give exactly one of siteName and siteNameTemplate',
      },
      {
        rule: '!has(self.siteName) || !has(self.siteNameTemplate)',
        reason: 'FieldValueForbidden',
        fieldPath: '.siteNameTemplate',
        message: 'give exactly one of siteName and siteNameTemplate',
      },
      {
        rule: '!has(self.siteName) || self.uses <= 1',
        reason: 'FieldValueForbidden',
        fieldPath: '.siteName',
        message: 'several agents cannot be one site: with uses > 1 give siteNameTemplate',
      },
      {
        rule: "!has(self.approvedKeys) || self.approvedKeys.size() == 0 || self.approval == 'Manual'",
        reason: 'FieldValueForbidden',
        fieldPath: '.approvedKeys',
        message: 'only with approval: Manual',
      },
    ],
  },
);
export type EnrollmentTokenSpec = Static<typeof enrollmentTokenSpecSchema>;

export const enrollmentTokenStatusSchema = Type.Object(
  {
    usedCount: Type.Optional(
      Type.Integer({ minimum: 0, description: 'How many agents joined with the token, or are about to.' }),
    ),
    used: Type.Optional(
      Type.Array(
        Type.Object({
          site: Type.String({ description: 'Name of the Site that the agent became.' }),
          keyFingerprint: Type.String({ description: 'Fingerprint of its key.' }),
          time: timeSchema('When it joined.'),
          siteUid: Type.Optional(
            Type.String({ description: 'UID of that Site. Absent: reserved, the key is not bound yet.' }),
          ),
        }),
        { description: 'Agents that joined with the token: the newest 200.' },
      ),
    ),
    pending: Type.Optional(
      Type.Array(
        Type.Object({
          site: Type.String({ description: 'Name of the Site that the agent would become.' }),
          keyFingerprint: Type.String({ description: 'Fingerprint to put into spec.approvedKeys.' }),
          hostname: Type.Optional(Type.String({ description: 'Name of the machine, as the agent says.' })),
          time: timeSchema('When it first asked.'),
        }),
        { description: 'Agents that wait for approval.' },
      ),
    ),
    conditions: Type.Optional(conditionsSchema),
  },
  { description: 'Who joined.' },
);
export type EnrollmentTokenStatus = Static<typeof enrollmentTokenStatusSchema>;

export interface EnrollmentToken extends KubeObject {
  apiVersion: 'selvedge.dev/v1alpha1';
  kind: 'EnrollmentToken';
  metadata: ObjectMeta;
  spec: EnrollmentTokenSpec;
  status?: EnrollmentTokenStatus;
}
