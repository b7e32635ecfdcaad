import Type, { type Static } from 'typebox';
import type { KubeObject, ObjectMeta, ResourceRef } from '../object-meta.ts';
import { conditionsSchema, rolloutPhaseSchema, siteCountsSchema } from './status-schemas.ts';

export const applications: ResourceRef = {
  group: 'selvedge.dev',
  version: 'v1alpha1',
  plural: 'applications',
  kind: 'Application',
  namespaced: true,
};

export const labelSelectorSchema = Type.Object(
  {
    matchLabels: Type.Optional(
      Type.Record(Type.String(), Type.String(), {
        description: 'Labels that have to be there, all of them.',
      }),
    ),
    matchExpressions: Type.Optional(
      Type.Array(
        Type.Object({
          key: Type.String({ description: 'Key of the label.' }),
          operator: Type.Union(
            [Type.Literal('In'), Type.Literal('NotIn'), Type.Literal('Exists'), Type.Literal('DoesNotExist')],
            {
              description:
                'How the label has to relate to values. NotIn also holds where the label is absent.',
            },
          ),
          values: Type.Optional(
            Type.Array(Type.String(), { description: 'For In and NotIn, at least one; else none.' }),
          ),
        }),
        { description: 'Conditions on labels, all of which have to hold.' },
      ),
    ),
  },
  { description: 'Label selector. An empty one selects everything.' },
);

export const waveSchema = Type.Object(
  {
    name: Type.String({
      minLength: 1,
      maxLength: 63,
      description: 'Name of the wave, unique in the rollout.',
    }),
    sites: Type.Optional(
      Type.Integer({
        minimum: 1,
        description: 'Sites reached when this wave is done, as a number. Or percent.',
      }),
    ),
    percent: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 100,
        description: 'Sites reached when this wave is done, in percent of all, rounded up. Or sites.',
      }),
    ),
    soak: Type.Optional(
      Type.String({
        default: '0s',
        description:
          'How long every site of the wave has to stay healthy before the next wave starts, as a duration.',
      }),
    ),
  },
  {
    'x-kubernetes-validations': [
      {
        rule: 'has(self.sites) || has(self.percent)',
        reason: 'FieldValueRequired',
        message: 'say how far the wave reaches: either sites or percent',
      },
      {
        rule: '!has(self.sites) || !has(self.percent)',
        message: 'give either sites or percent, not both',
      },
    ],
  },
);

export const rolloutStrategySchema = Type.Object(
  {
    waves: Type.Optional(
      Type.Array(waveSchema, {
        minItems: 1,
        maxItems: 50,
        description:
          'Waves in order; each reaches more sites than the one before, the last has percent 100. Default: canary (1 site), then all.',
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['name'],
      }),
    ),
    budget: Type.Optional(
      Type.Object(
        {
          failed: Type.Optional(
            Type.Union([Type.Integer({ minimum: 0 }), Type.String({ pattern: '^[0-9]{1,2}%$|^100%$' })], {
              default: 0,
              description:
                'Sites that may fail before the rollout pauses: a number, or percent of all sites as in "2%".',
              'x-kubernetes-int-or-string': true,
            }),
          ),
        },
        { description: 'How much may go wrong before the rollout stops by itself.' },
      ),
    ),
    deadline: Type.Optional(
      Type.String({
        default: '10m',
        description:
          'How long a connected site has to become healthy before it counts as failed, as a duration.',
      }),
    ),
  },
  { description: 'How a release goes out to the sites. Copied into the Rollout when that starts.' },
);
export type RolloutStrategy = Static<typeof rolloutStrategySchema>;
export type Wave = Static<typeof waveSchema>;

export const applicationSpecSchema = Type.Object(
  {
    source: Type.Object(
      {
        inline: Type.Optional(
          Type.Object(
            {
              manifests: Type.Array(
                Type.Object(
                  {},
                  {
                    'x-kubernetes-embedded-resource': true,
                    'x-kubernetes-preserve-unknown-fields': true,
                    additionalProperties: true,
                  },
                ),
                {
                  description:
                    'Kubernetes objects, complete. ${site.name} and ${site.variables.NAME} differ by site.',
                },
              ),
            },
            { description: 'The manifests stand in the Application itself.' },
          ),
        ),
      },
      {
        description: 'Where the manifests come from: exactly one of the fields.',
        'x-kubernetes-validations': [
          {
            rule: 'has(self.inline)',
            reason: 'FieldValueRequired',
            message: 'say where the manifests come from: exactly one of inline',
          },
        ],
      },
    ),
    placement: Type.Object(
      { siteSelector: labelSelectorSchema },
      { description: 'Which sites run the application.' },
    ),
    rollout: Type.Optional(rolloutStrategySchema),
    paused: Type.Optional(
      Type.Boolean({ description: 'true: releases are made, none is offered to another site.' }),
    ),
  },
  { description: 'What is to run, where, and how changes go out.' },
);
export type ApplicationSpec = Static<typeof applicationSpecSchema>;

export const applicationStatusSchema = Type.Object(
  {
    observedGeneration: Type.Optional(
      Type.Integer({ description: 'metadata.generation that status speaks of.' }),
    ),
    release: Type.Optional(Type.String({ description: 'Name of the newest Release.' })),
    rollout: Type.Optional(Type.String({ description: 'Name of the Rollout that brings it out.' })),
    /** Filled in when read from that Rollout, never stored; so is `sites`. */
    phase: Type.Optional(rolloutPhaseSchema),
    sites: Type.Optional(siteCountsSchema),
    conditions: Type.Optional(conditionsSchema),
  },
  { description: 'How far the newest release is.' },
);
export type ApplicationStatus = Static<typeof applicationStatusSchema>;

export interface Application extends KubeObject {
  apiVersion: 'selvedge.dev/v1alpha1';
  kind: 'Application';
  metadata: ObjectMeta;
  spec: ApplicationSpec;
  status?: ApplicationStatus;
}
