import { type Rollout, rolloutSpecSchema, rolloutStatusSchema, rollouts } from '@selvedge/api';
import type { ResourceDefinition } from '@selvedge/apiserver';
import { admitTies, refuseUnapproved, validateDecisions } from './admit-rollout.ts';
import { validateStrategy } from './validate-strategy.ts';

const refuseChangedTies = admitTies(rollouts);

export const rolloutDefinition: ResourceDefinition = {
  ref: rollouts,
  singular: 'rollout',
  shortNames: ['ro'],
  categories: ['all', 'selvedge'],
  description:
    'One release on its way to the sites, wave by wave. Made by the hub; the last ones are kept as history.',
  statusSubresource: true,
  schema: {
    type: 'object',
    required: ['spec'],
    properties: { spec: rolloutSpecSchema, status: rolloutStatusSchema },
  },
  validate: (object, previous) => [
    ...validateStrategy((object as Rollout).spec.strategy, 'spec.strategy'),
    ...validateDecisions(object as Rollout, previous as Rollout | undefined),
  ],
  admit: async (object, previous, context) => {
    await refuseChangedTies(object, previous, context);
    refuseUnapproved(object as Rollout, previous as Rollout | undefined, context);
  },
  columns: [
    {
      name: 'Application',
      type: 'string',
      description: 'Name of the application.',
      value: (o) => (o as Rollout).spec.application,
    },
    {
      name: 'Release',
      type: 'string',
      description: 'Release that goes out.',
      value: (o) => (o as Rollout).spec.release,
    },
    {
      name: 'Phase',
      type: 'string',
      description: 'Where it stands.',
      value: (o) => (o as Rollout).status?.phase,
    },
    {
      name: 'Wave',
      type: 'string',
      description: 'Waves that have begun, of all.',
      value: (o) => {
        const waves = (o as Rollout).status?.waves;
        return waves && `${waves.filter((wave) => wave.startTime !== undefined).length}/${waves.length}`;
      },
    },
    {
      name: 'Message',
      type: 'string',
      description: 'What it waits for.',
      value: (o) => (o as Rollout).status?.message,
    },
  ],
};
