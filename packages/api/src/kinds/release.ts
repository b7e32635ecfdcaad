import Type, { type Static } from 'typebox';
import type { KubeObject, ObjectMeta, ResourceRef } from '../object-meta.ts';
import { applyRulesSchema } from './apply-rules.ts';
import { conditionsSchema, timeSchema } from './status-schemas.ts';

export const releases: ResourceRef = {
  group: 'selvedge.dev',
  version: 'v1alpha1',
  plural: 'releases',
  kind: 'Release',
  namespaced: true,
};

export const releaseSpecSchema = Type.Object(
  {
    application: Type.String({ description: 'Name of the Application.' }),
    digest: Type.String({
      pattern: '^sha256:[0-9a-f]{64}$',
      description:
        'Digest of the canonical bytes: the RFC 8785 form of the list of manifests, and of the rules where there are any.',
    }),
    sizeBytes: Type.Integer({ description: 'Length of the canonical bytes.' }),
    images: Type.Optional(Type.Array(Type.String(), { description: 'Images that the manifests name.' })),
    resources: Type.Optional(
      Type.Array(Type.String(), { description: 'What is in it, as Kind/name or Kind/namespace/name.' }),
    ),
    variables: Type.Optional(
      Type.Array(Type.String(), { description: 'Names of the site variables that the manifests use.' }),
    ),
    values: Type.Optional(
      Type.Array(Type.String(), {
        description: 'Other values that it asks a site for: site.labels.KEY, variables.NAME.',
      }),
    ),
    overrides: Type.Optional(
      Type.Array(Type.String(), { description: 'Names of the overrides that it carries.' }),
    ),
    secrets: Type.Optional(
      Type.Array(Type.String(), {
        description: 'Names of the Secrets of the hub that go with it to its sites.',
      }),
    ),
    nodeGroups: Type.Optional(
      Type.Array(Type.String(), {
        description: 'Node groups that its pods run in, of which a site has to have one.',
      }),
    ),
    apply: Type.Optional(applyRulesSchema),
  },
  {
    description: 'What is in the release. Cannot be changed.',
    'x-kubernetes-validations': [
      {
        rule: 'self == oldSelf',
        reason: 'FieldValueForbidden',
        message: 'a Release is immutable: change the Application instead',
      },
    ],
  },
);
export type ReleaseSpec = Static<typeof releaseSpecSchema>;

/** What became of the release out there. Written by the hub; lifting a condemnation is the action `releases/lift`. */
export const releaseStatusSchema = Type.Object(
  {
    approvedTime: Type.Optional(timeSchema('When it had first passed every wave of a rollout.')),
    condemned: Type.Optional(
      Type.Object(
        {
          time: timeSchema('When.'),
          rollout: Type.String({ description: 'Name of the Rollout in which it failed.' }),
          rolloutUid: Type.Optional(Type.String({ description: 'UID of that Rollout.' })),
          reason: Type.String({ description: 'BudgetExceeded or RevertedByPerson.' }),
          message: Type.String({ description: 'What happened.' }),
        },
        { description: 'Present: nobody offers this release to a site until a person lifts it.' },
      ),
    ),
    lifted: Type.Optional(
      Type.Object(
        {
          time: timeSchema('When.'),
          by: Type.String({ description: 'Name of the user.' }),
        },
        { description: 'When a person last lifted a condemnation: it may be rolled out again.' },
      ),
    ),
    /** Approved, Condemned. */
    conditions: Type.Optional(conditionsSchema),
  },
  { description: 'What became of it.' },
);
export type ReleaseStatus = Static<typeof releaseStatusSchema>;

/** Name: `<application>-<first 10 hex digits of the digest>`, so the same bytes are the same Release. */
export interface Release extends KubeObject {
  apiVersion: 'selvedge.dev/v1alpha1';
  kind: 'Release';
  metadata: ObjectMeta;
  spec: ReleaseSpec;
  status?: ReleaseStatus;
}

/** The name of the Release of an application that has this digest. */
export function releaseName(application: string, digest: string): string {
  return `${application}-${digest.slice('sha256:'.length).slice(0, 10)}`;
}
