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
 * Copied from the Application when the rollout starts, so a later edit changes only later rollouts. Who has the verb `approve`
 * may change the budget or the deadline of a rollout under way; what goes out, in which waves, and how, stays.
 */
export const rolloutSpecSchema = Type.Object(
  {
    application: Type.String({ description: 'Name of the Application.', ...unchanging }),
    release: Type.String({ description: 'Name of the Release.', ...unchanging }),
    digest: Type.String({ description: 'Digest of the Release.', ...unchanging }),
    strategy: rolloutStrategySchema,
    paused: Type.Optional(
      Type.Boolean({ description: 'true: nothing more is offered or activated until it is false again.' }),
    ),
    approvedWaves: Type.Optional(
      Type.Array(Type.String(), {
        description:
          'Waves with approval Manual that a person let begin. Changing it needs the verb approve.',
        'x-kubernetes-list-type': 'set',
      }),
    ),
    waivedWaves: Type.Optional(
      Type.Array(Type.String(), {
        description:
          'Waves whose soak, prepare threshold and minSample a person waived; failures still count. Changing it needs the verb approve.',
        'x-kubernetes-list-type': 'set',
      }),
    ),
    stop: Type.Optional(
      Type.Union([Type.Literal('Abort'), Type.Literal('Revert')], {
        description:
          'A person ends the rollout. Abort: nothing more goes out, sites keep what they have; taking it away again goes on. Revert: the release is condemned and sites go back; cannot be taken away again.',
      }),
    ),
  },
  {
    description: 'What goes out, and how.',
    'x-kubernetes-validations': ['waves', 'prepare', 'activate', 'onBreach'].map((field) => ({
      rule:
        `has(self.strategy.${field}) == has(oldSelf.strategy.${field}) && ` +
        `(!has(self.strategy.${field}) || self.strategy.${field} == oldSelf.strategy.${field})`,
      reason: 'FieldValueForbidden',
      fieldPath: `.strategy.${field}`,
      message: `${field} of a rollout under way cannot be changed: change the Application`,
    })),
  },
);
export type RolloutSpec = Static<typeof rolloutSpecSchema>;

const waveStatusSchema = Type.Object({
  name: Type.String({ description: 'Name of the wave.' }),
  phase: Type.Union(
    [
      Type.Literal('Waiting'),
      Type.Literal('AwaitingApproval'),
      Type.Literal('Preparing'),
      Type.Literal('Progressing'),
      Type.Literal('Soaking'),
      Type.Literal('Passed'),
      Type.Literal('Reverting'),
      Type.Literal('Reverted'),
    ],
    {
      description:
        'Waiting: not begun. Preparing: sites fetch and check, none activates. Progressing: sites activate. Passed never goes back, but by a revert.',
    },
  ),
  sites: Type.Integer({ description: 'Sites in the wave; a forecast while it waits.' }),
  succeeded: Type.Integer({ description: 'Sites of the wave that run the release, by their own account.' }),
  prepared: Type.Integer({ description: 'Sites that have it prepared and wait to activate it.' }),
  pending: Type.Integer({ description: 'Other sites in touch that have not answered yet.' }),
  held: Type.Integer({
    description: 'Sites in touch that are held back by a person or do not follow this hub.',
  }),
  failed: Type.Integer({ description: 'Sites where it failed.' }),
  away: Type.Integer({ description: 'Silent sites that have not answered, overdue ones too.' }),
  reverted: Type.Integer({ description: 'Sites that went back to what they ran before.' }),
  startTime: Type.Optional(timeSchema('When the wave began.')),
  activateTime: Type.Optional(
    timeSchema('When its sites were let activate, or the instant at which they do.'),
  ),
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
    breach: Type.Optional(
      Type.Object(
        {
          time: timeSchema('When.'),
          wave: Type.String({ description: 'Wave whose sites made it so; empty when a person did.' }),
          reason: Type.String({ description: 'BudgetExceeded or RevertedByPerson.' }),
          message: Type.String({ description: 'What happened, with the first sites by name.' }),
        },
        { description: 'Why the release was condemned. Stays in the history.' },
      ),
    ),
    activation: Type.Optional(
      Type.Object(
        {
          firstTime: timeSchema('When the first site activated the release.'),
          lastTime: timeSchema('When the last one so far did.'),
          sites: Type.Integer({ description: 'Sites that have.' }),
        },
        { description: 'When sites switched, by their own hub-corrected clocks.' },
      ),
    ),
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
