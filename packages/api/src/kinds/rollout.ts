import Type, { type Static } from 'typebox';
import type { KubeObject, ObjectMeta, ResourceRef } from '../object-meta.ts';
import { rolloutStrategySchema } from './application.ts';
import { conditionsSchema, rolloutPhaseSchema, siteCountsSchema, timeSchema } from './status-schemas.ts';

export const rollouts: ResourceRef = {
  group: 'selvedge.dev',
  version: 'v1alpha1',
  plural: 'rollouts',
  kind: 'Rollout',
  namespaced: true,
};

const unchanging = {
  'x-kubernetes-validations': [
    { rule: 'self == oldSelf', reason: 'FieldValueForbidden', message: 'cannot be changed' },
  ],
};

/**
 * Copied from the Application when the rollout starts, so a later edit changes only later rollouts. A person may widen
 * the budget or the deadline of a rollout under way; what goes out, and in which waves, stays.
 */
export const rolloutSpecSchema = Type.Object(
  {
    application: Type.String({ description: 'Name of the Application.', ...unchanging }),
    release: Type.String({ description: 'Name of the Release.', ...unchanging }),
    digest: Type.String({ description: 'Digest of the Release.', ...unchanging }),
    strategy: rolloutStrategySchema,
  },
  {
    description: 'What goes out, and how.',
    'x-kubernetes-validations': [
      {
        rule:
          'has(self.strategy.waves) == has(oldSelf.strategy.waves) && ' +
          '(!has(self.strategy.waves) || self.strategy.waves == oldSelf.strategy.waves)',
        reason: 'FieldValueForbidden',
        fieldPath: '.strategy.waves',
        message: 'the waves of a rollout under way cannot be changed: change the Application',
      },
    ],
  },
);
export type RolloutSpec = Static<typeof rolloutSpecSchema>;

const waveStatusSchema = Type.Object({
  name: Type.String({ description: 'Name of the wave.' }),
  phase: Type.Union(
    [Type.Literal('Waiting'), Type.Literal('Progressing'), Type.Literal('Soaking'), Type.Literal('Passed')],
    { description: 'Waiting: not begun. Passed never goes back.' },
  ),
  sites: Type.Integer({ description: 'Sites in the wave; a forecast while it waits.' }),
  succeeded: Type.Integer({ description: 'Sites of the wave that run the release, by their own account.' }),
  pending: Type.Integer({ description: 'Sites in touch that have not answered yet.' }),
  failed: Type.Integer({ description: 'Sites where it failed.' }),
  away: Type.Integer({ description: 'Silent sites that have not answered.' }),
  startTime: Type.Optional(timeSchema('When the wave began.')),
  healthySince: Type.Optional(
    timeSchema('When the last site of the wave became healthy; the soak counts from here.'),
  ),
  passTime: Type.Optional(timeSchema('When the wave passed.')),
});
export type WaveStatus = Static<typeof waveStatusSchema>;

export const rolloutStatusSchema = Type.Object(
  {
    observedGeneration: Type.Optional(
      Type.Integer({ description: 'metadata.generation that status speaks of.' }),
    ),
    phase: Type.Optional(rolloutPhaseSchema),
    message: Type.Optional(Type.String({ description: 'One sentence: what it waits for.' })),
    startTime: Type.Optional(timeSchema('When the rollout began.')),
    completionTime: Type.Optional(timeSchema('When it was completed or superseded.')),
    waves: Type.Optional(
      Type.Array(waveStatusSchema, {
        description: 'The waves in order.',
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['name'],
      }),
    ),
    sites: Type.Optional(siteCountsSchema),
    failures: Type.Optional(
      Type.Array(
        Type.Object({
          site: Type.String({ description: 'Name of the Site.' }),
          reason: Type.String({ description: 'Why, in CamelCase.' }),
          message: Type.String({ description: 'What the site, or the hub about it, says.' }),
        }),
        { description: 'Sites that do not get well with this release; the first 20 of them.' },
      ),
    ),
    conditions: Type.Optional(conditionsSchema),
  },
  { description: 'How far it is, and what it waits for.' },
);
export type RolloutStatus = Static<typeof rolloutStatusSchema>;

/** Name: `<application>-<n>`, n counting the application's rollouts from 1. */
export interface Rollout extends KubeObject {
  apiVersion: 'selvedge.dev/v1alpha1';
  kind: 'Rollout';
  metadata: ObjectMeta;
  spec: RolloutSpec;
  status?: RolloutStatus;
}
