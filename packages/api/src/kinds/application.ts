import Type, { type Static } from 'typebox';
import type { KubeObject, ObjectMeta, ResourceRef } from '../object-meta.ts';
import { applicationSourceSchema, sourceStatusSchema } from './application-source.ts';
import { applyRulesSchema } from './apply-rules.ts';
import { labelSelectorSchema } from './label-selector-schema.ts';
import {
  imageRulesSchema,
  overridesSchema,
  sitedSecretsSchema,
  variablesSchema,
} from './override-schemas.ts';
import { conditionsSchema, rolloutPhaseSchema, siteCountsSchema, timeSchema } from './status-schemas.ts';

export const applications: ResourceRef = {
  group: 'selvedge.dev',
  version: 'v1alpha1',
  plural: 'applications',
  kind: 'Application',
  namespaced: true,
};

/** A number of sites, or a part of them as in "5%" (rounded up). */
const countOrPercent = (description: string, options: { minimum?: number; default?: number | string } = {}) =>
  Type.Union(
    [Type.Integer({ minimum: options.minimum ?? 0 }), Type.String({ pattern: '^[0-9]{1,2}%$|^100%$' })],
    {
      description,
      ...(options.default === undefined ? {} : { default: options.default }),
      'x-kubernetes-int-or-string': true,
    },
  );

const budgetSchema = (description: string) =>
  Type.Object(
    {
      failed: Type.Optional(
        countOrPercent('Sites that may fail before it counts as breached: a number, or percent as in "2%".', {
          default: 0,
        }),
      ),
    },
    { description },
  );

export const waveSchema = Type.Object(
  {
    name: Type.String({
      minLength: 1,
      maxLength: 63,
      pattern: '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$',
      description: 'Name of the wave, unique in the rollout: a DNS label.',
    }),
    sites: Type.Optional(
      Type.Integer({
        minimum: 1,
        description:
          'Sites reached when this wave is done, as a number. One of sites, percent, siteNames, siteSelector.',
      }),
    ),
    percent: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 100,
        description: 'Sites reached when this wave is done, in percent of all, rounded up.',
      }),
    ),
    siteNames: Type.Optional(
      Type.Array(Type.String(), {
        minItems: 1,
        maxItems: 1000,
        description:
          'Exactly these sites, as far as the placement selects them and no wave before took them.',
        'x-kubernetes-list-type': 'set',
      }),
    ),
    siteSelector: Type.Optional(labelSelectorSchema),
    soak: Type.Optional(
      Type.String({
        default: '0s',
        description:
          'How long every site of the wave has to stay healthy before the next wave starts, as a duration.',
      }),
    ),
    minSample: Type.Optional(
      countOrPercent(
        'Sites of the wave that must have proved the release, to the end of the soak, before it passes; never more than it has. Default 1.',
        { minimum: 1, default: 1 },
      ),
    ),
    maxConcurrent: Type.Optional(
      countOrPercent('Sites of the wave that work on the release at the same time. Default: all.', {
        minimum: 1,
      }),
    ),
    budget: Type.Optional(
      budgetSchema('How much may go wrong in this wave; besides the budget of the whole.'),
    ),
    approval: Type.Optional(
      Type.Union([Type.Literal('Automatic'), Type.Literal('Manual')], {
        default: 'Automatic',
        description:
          'Manual: the wave begins when a person says so (`selvedge rollout promote`). Taking it away needs the verb approve on rollouts.',
      }),
    ),
  },
  {
    'x-kubernetes-validations': [
      {
        rule: '[has(self.sites), has(self.percent), has(self.siteNames), has(self.siteSelector)].exists(x, x)',
        reason: 'FieldValueRequired',
        message: 'say which sites the wave reaches: one of sites, percent, siteNames, siteSelector',
      },
      {
        rule: '[has(self.sites), has(self.percent), has(self.siteNames), has(self.siteSelector)].filter(x, x).size() <= 1',
        message: 'give only one of sites, percent, siteNames, siteSelector',
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
    prepare: Type.Optional(
      Type.Object(
        {
          threshold: Type.Optional(
            Type.String({
              pattern: '^[0-9]{1,2}%$|^100%$',
              default: '100%',
              description:
                'Part of the sites in touch of a wave that must have the release prepared (content and images fetched and verified, disk checked, dry run passed) before any of them activates it.',
            }),
          ),
          deadline: Type.Optional(
            Type.String({
              default: '1h',
              description:
                'How long a site in touch, its download window open, may take to prepare before it counts as failed, as a duration.',
            }),
          ),
        },
        {
          description:
            'With it, a wave prepares first and activates then, together. Without it each site activates as soon as it has prepared.',
        },
      ),
    ),
    activate: Type.Optional(
      Type.Object(
        {
          when: Type.Optional(
            Type.Union([Type.Literal('Window'), Type.Literal('Now'), Type.Literal('At')], {
              default: 'Window',
              description:
                "When a prepared site switches. Window: within the site's own activate windows (at once where it has none). Now: at once, windows or not. At: at the instant `at`, by the site's hub-corrected clock, link or no link.",
            }),
          ),
          at: Type.Optional(
            Type.String({
              format: 'date-time',
              description: 'The instant, with When At: 2026-12-01T03:00:00Z.',
            }),
          ),
        },
        {
          description: 'When prepared sites switch to the release. A hold at a site binds in any case.',
          'x-kubernetes-validations': [
            {
              rule: "(has(self.when) && self.when == 'At') == has(self.at)",
              message: 'at goes with when: At, and that with at',
            },
          ],
        },
      ),
    ),
    budget: Type.Optional(budgetSchema('How much may go wrong before the rollout stops by itself.')),
    onBreach: Type.Optional(
      Type.Union([Type.Literal('Revert'), Type.Literal('Pause')], {
        default: 'Revert',
        description:
          'What happens when a budget is exceeded. Revert: the release is condemned and every site that took it goes back to what it ran before. Pause: nothing more goes out until a person decides.',
      }),
    ),
    deadline: Type.Optional(
      Type.String({
        default: '10m',
        description:
          'How long a site in touch has to become healthy, once it activated the release, before it counts as failed and goes back by itself, as a duration.',
      }),
    ),
  },
  { description: 'How a release goes out to the sites. Copied into the Rollout when that starts.' },
);
export type RolloutStrategy = Static<typeof rolloutStrategySchema>;
export type Wave = Static<typeof waveSchema>;

/** Consent to remove exactly the set with this digest: `status.heldRemoval.digest`. Setting it needs the verb `approve`. */
export const removalApprovalSchema = Type.Object(
  {
    digest: Type.String({ pattern: '^sha256:[0-9a-f]{64}$', description: 'Digest of the held set.' }),
    volumes: Type.Optional(
      Type.Boolean({ description: 'true: volumes with data go too, where the policy asks for it.' }),
    ),
  },
  { description: 'Consent of a person to the held removal with this digest, and to no other.' },
);

/** A removal that waits for a person. */
export const heldRemovalSchema = Type.Object(
  {
    digest: Type.String({ description: 'Digest of the exact set: what an approval names.' }),
    reason: Type.String({ description: 'Why it is held: TooMany, SelectorEmpty, SourceFailed.' }),
    message: Type.String({ description: 'The same for people.' }),
    sites: Type.Integer({ description: 'Sites in the set.' }),
    of: Type.Integer({ description: 'Sites that have the application, or that there are.' }),
    names: Type.Array(Type.String(), { description: 'The first 100 of the sites, by name.' }),
    volumes: Type.Boolean({ description: 'Volumes with data would go too, if approved so.' }),
    sinceTime: timeSchema('When it was first held.'),
  },
  { description: 'A removal that waits for approval.' },
);
export type HeldRemoval = Static<typeof heldRemovalSchema>;

export const applicationSpecSchema = Type.Object(
  {
    source: applicationSourceSchema,
    placement: Type.Object(
      {
        siteSelector: labelSelectorSchema,
        nodeGroups: Type.Optional(
          Type.Array(
            Type.String({ minLength: 1, maxLength: 40, pattern: '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$' }),
            {
              minItems: 1,
              maxItems: 10,
              description:
                'Node groups of the site (spec.nodeGroups) that its pods run in. Of those named, the ones that the site has count. Several: one workload for each, named with its group, behind the same Services.',
              'x-kubernetes-list-type': 'set',
            },
          ),
        ),
      },
      { description: 'Which sites run the application, and where in them.' },
    ),
    overrides: Type.Optional(overridesSchema),
    variables: Type.Optional(variablesSchema),
    secrets: Type.Optional(sitedSecretsSchema),
    images: Type.Optional(imageRulesSchema),
    apply: Type.Optional(applyRulesSchema),
    rollout: Type.Optional(rolloutStrategySchema),
    paused: Type.Optional(
      Type.Boolean({ description: 'true: releases are made, none is offered to another site.' }),
    ),
    removal: Type.Optional(
      Type.Object(
        {
          policy: Type.Optional(
            Type.Union([Type.Literal('Delete'), Type.Literal('Orphan')], {
              default: 'Delete',
              description:
                'What becomes of the application at a site that it leaves. Orphan: it runs on there, nobody looks after it.',
            }),
          ),
          volumes: Type.Optional(
            Type.Union([Type.Literal('Retain'), Type.Literal('Delete')], {
              default: 'Retain',
              description:
                'What becomes of its volumes with data. Delete takes effect only for removals that were approved with their volumes (`selvedge removal approve --volumes`).',
            }),
          ),
          guard: Type.Optional(
            Type.Object(
              {
                sites: Type.Optional(
                  Type.Integer({
                    minimum: 0,
                    default: 3,
                    description: 'So many sites may always go at once.',
                  }),
                ),
                percent: Type.Optional(
                  Type.Integer({
                    minimum: 0,
                    maximum: 100,
                    default: 10,
                    description: 'Or so many of the sites that have it, when that is more.',
                  }),
                ),
              },
              {
                description:
                  'Removals beyond the larger of the two within an hour wait for approval. Widening it needs the verb approve.',
              },
            ),
          ),
          approved: Type.Optional(removalApprovalSchema),
        },
        { description: 'How the application leaves sites.' },
      ),
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
    /** Newest release that every wave passed and nobody condemned: what new and returning sites get meanwhile. */
    approvedRelease: Type.Optional(
      Type.String({ description: 'Newest Release that passed every wave and is not condemned.' }),
    ),
    source: Type.Optional(sourceStatusSchema),
    images: Type.Optional(
      Type.Object(
        {
          contentDigest: Type.String({
            description:
              'Digest of the manifests and rules that name them: in other content the images that are new are looked up.',
          }),
          resolved: Type.Array(
            Type.Object({
              image: Type.String({ description: 'As it is named.' }),
              resolved: Type.Optional(Type.String({ description: 'With the digest that its tag had then.' })),
              unknown: Type.Optional(Type.String({ description: 'Why there is none.' })),
            }),
            { description: 'What the tags named when they were looked up.' },
          ),
        },
        { description: 'Image tags of the newest content, looked up once.' },
      ),
    ),
    lastRefresh: Type.Optional(
      Type.String({
        description:
          'Annotation selvedge.dev/refresh-requested-at that was carried out last: the source was looked at.',
      }),
    ),
    mirroredSites: Type.Optional(
      Type.Array(Type.String(), {
        description:
          'Sites that the application was taken from, by spec.source.mirror: it is brought to none of them, also when it is taken from elsewhere by now.',
      }),
    ),
    heldRemoval: Type.Optional(heldRemovalSchema),
    recentRemovals: Type.Optional(
      Type.Array(
        Type.Object({
          time: timeSchema('When it was ordered.'),
          sites: Type.Integer({ description: 'How many sites it left.' }),
          set: Type.String({ description: 'Digest of their names.' }),
        }),
        {
          description:
            'Removals within the last hour, those included that were undone since: the guard counts them.',
        },
      ),
    ),
    takeoverTime: Type.Optional(
      timeSchema(
        'What sites were given before this, by order of a former Application of this name, may be replaced.',
      ),
    ),
    highestAttempt: Type.Optional(
      Type.Integer({ description: 'Highest number of a Rollout that sites were seen to know of.' }),
    ),
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
