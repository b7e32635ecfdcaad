import Type, { type Static } from 'typebox';
import type { Condition } from '../object-meta.ts';

/** Schemas of what several kinds have in their status. */
export const timeSchema = (description: string) => Type.String({ format: 'date-time', description });

/** Of an agent's key. A wrong one would revoke or approve nobody, in silence. */
export const fingerprintSchema = Type.String({ pattern: '^SHA256:[A-Za-z0-9_-]{43}$' });

export const conditionsSchema = Type.Unsafe<Condition[]>(
  Type.Array(
    Type.Object({
      type: Type.String({ description: 'What is spoken of, in CamelCase.' }),
      status: Type.Union([Type.Literal('True'), Type.Literal('False'), Type.Literal('Unknown')], {
        description: 'Whether it holds.',
      }),
      reason: Type.String({ description: 'Why, in CamelCase, for programs.' }),
      message: Type.String({ description: 'One sentence for a person: what is, and what to do about it.' }),
      lastTransitionTime: timeSchema('When status last changed.'),
      observedGeneration: Type.Optional(
        Type.Integer({ description: 'metadata.generation that this speaks of.' }),
      ),
    }),
    {
      description: 'What is true of the object now.',
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['type'],
    },
  ),
);

/** Every site that the application is meant for is in exactly one of the buckets after `wanted`. */
export const siteCountsSchema = Type.Object(
  {
    wanted: Type.Integer({ description: 'Sites that the placement selects.' }),
    running: Type.Integer({ description: 'Sites that said that the wanted release runs and is healthy.' }),
    progressing: Type.Integer({ description: 'Sites in touch that were given the release and work on it.' }),
    prepared: Type.Integer({
      description: 'Sites in touch that have it prepared and wait: for the wave, a window or an instant.',
    }),
    held: Type.Integer({
      description:
        'Sites in touch where a person, or the Site, holds changes back; or that do not follow this hub.',
    }),
    failed: Type.Integer({
      description:
        'Sites that said that it failed, did not answer in time although in touch, or lack a variable.',
    }),
    away: Type.Integer({
      description:
        'Silent sites, within what is expected of them, that are not known to run the wanted release.',
    }),
    overdue: Type.Integer({ description: 'The same, silent for longer than expected.' }),
    waiting: Type.Integer({ description: 'Sites in touch that are not offered it yet: a later wave.' }),
  },
  { description: 'Sites by how far they are with the wanted release.' },
);
export type SiteCounts = Static<typeof siteCountsSchema>;

/**
 * Progressing: waves go out. Paused: by a person, or the budget is spent and `onBreach` is Pause. Completed: every wave has
 * passed; away sites still catch up. Reverting, Reverted: the release is condemned, sites go (have gone) back. Aborted: a
 * person stopped it, sites keep what they have. Blocked: the release was condemned before and is not offered. Superseded: a
 * newer rollout took over.
 */
export const rolloutPhases = [
  'Progressing',
  'Paused',
  'Completed',
  'Reverting',
  'Reverted',
  'Aborted',
  'Blocked',
  'Superseded',
] as const;
export type RolloutPhase = (typeof rolloutPhases)[number];
export const rolloutPhaseSchema = Type.Unsafe<RolloutPhase>({
  type: 'string',
  enum: [...rolloutPhases],
  description:
    'Where the rollout stands. Completed: every wave has passed; away sites still catch up. Reverted: the release is condemned.',
});
