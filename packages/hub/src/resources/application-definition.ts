import {
  type Application,
  applicationSpecSchema,
  applicationStatusSchema,
  applications,
  type FieldError,
  fieldInvalid,
  type KubeObject,
  type Rollout,
  resourceName,
  rollouts,
  type SiteCounts,
  validateLabelSelector,
  validateManifests,
} from '@selvedge/api';
import type { ResourceDefinition } from '@selvedge/apiserver';
import type { ObjectStore } from '@selvedge/store';
import { refuseWeakerGates } from './admit-gates.ts';
import { admitRemoval, withRemovalFinalizer } from './admit-removal.ts';
import { refuseForeignSecrets } from './application-secrets.ts';
import { withStatus } from './fleet-view.ts';
import { validateApplyRules } from './validate-apply-rules.ts';
import { validateGitSource } from './validate-git-source.ts';
import { validateMirror } from './validate-mirror.ts';
import { validateOverrides } from './validate-overrides.ts';
import { validateSources } from './validate-sources.ts';
import { validateStrategy } from './validate-strategy.ts';

/** Its name is a label's value and the beginning of other names. */
const maxApplicationNameLength = 52;

const refuseUnapprovedRemoval = admitRemoval(applications);

export function applicationDefinition(
  objects: ObjectStore,
  actions: NonNullable<ResourceDefinition['actions']>,
): ResourceDefinition {
  const count = (name: string, field: keyof SiteCounts, priority: 0 | 1 = 0) => ({
    name,
    type: 'integer' as const,
    description: applicationCountDescriptions[field],
    priority,
    value: (o: KubeObject) => (o as Application).status?.sites?.[field],
  });
  return {
    ref: applications,
    singular: 'application',
    shortNames: ['app', 'apps'],
    categories: ['all', 'selvedge'],
    description: 'What is to run, and at which sites. A change goes out to them in waves.',
    statusSubresource: true,
    // Manifests hold Secrets.
    sensitive: true,
    schema: {
      type: 'object',
      required: ['spec'],
      properties: { spec: applicationSpecSchema, status: applicationStatusSchema },
    },
    prepare: (object, previous) => withRemovalFinalizer(withoutReadFields(object as Application), previous),
    validate: (object) => validateApplication(object as Application),
    admit: async (object, previous, context) => {
      await refuseUnapprovedRemoval(object, previous, context);
      refuseForeignSecrets(object as Application, previous as Application | undefined, context);
      refuseWeakerGates(object as Application, previous as Application | undefined, context);
    },
    decorate: (list) => decorateApplications(list as readonly Application[], objects),
    actions,
    columns: [
      {
        name: 'Release',
        type: 'string',
        description: 'Newest release.',
        value: (o) => (o as Application).status?.release,
      },
      count('Sites', 'wanted'),
      count('Running', 'running'),
      count('Progressing', 'progressing'),
      count('Failed', 'failed'),
      count('Away', 'away'),
      count('Waiting', 'waiting'),
      {
        name: 'Rollout',
        type: 'string',
        description: 'Where the rollout of the newest release stands.',
        value: (o) => (o as Application).status?.phase,
      },
      {
        name: 'Revision',
        type: 'string',
        description: 'What was read last of its source.',
        priority: 1,
        value: (o) => (o as Application).status?.source?.revision,
      },
      count('Prepared', 'prepared', 1),
      count('Held', 'held', 1),
      count('Overdue', 'overdue', 1),
      {
        name: 'Approved',
        type: 'string',
        description: 'Newest release that passed every wave.',
        priority: 1,
        value: (o) => (o as Application).status?.approvedRelease,
      },
    ],
  };
}

const applicationCountDescriptions: Readonly<Record<keyof SiteCounts, string>> = {
  wanted: 'Sites that are to run it.',
  running: 'Sites that run the newest release.',
  progressing: 'Sites that are working on it.',
  prepared: 'Sites that have it prepared and wait to activate it.',
  held: 'Sites where changes are held back.',
  failed: 'Sites where it failed.',
  away: 'Silent sites that are not known to run it.',
  overdue: 'The same, silent for longer than expected.',
  waiting: 'Sites of a later wave.',
};

function withoutReadFields(application: Application): Application {
  if (!application.status) return application;
  const { sites: _s, phase: _p, ...stored } = application.status;
  return withStatus(application, stored);
}

function validateApplication({ metadata, spec }: Application): FieldError[] {
  const errors: FieldError[] = [];
  if (metadata.name.length > maxApplicationNameLength || metadata.name.includes('.')) {
    const rule = `must be no more than ${maxApplicationNameLength} characters, and have no dots`;
    errors.push(fieldInvalid('metadata.name', metadata.name, rule));
  }
  const { inline } = spec.source;
  if (inline) {
    const path = 'spec.source.inline.manifests';
    errors.push(...validateManifests(inline.manifests, path, metadata.namespace ?? ''));
  }
  errors.push(...validateLabelSelector(spec.placement.siteSelector, 'spec.placement.siteSelector'));
  errors.push(...validateGitSource(spec.source.git, 'spec.source.git'));
  errors.push(...validateGitSource(spec.source.helm?.git, 'spec.source.helm.git'));
  errors.push(...validateSources(spec.source));
  errors.push(...validateMirror(spec.source.mirror, 'spec.source.mirror'));
  errors.push(...validateOverrides(spec));
  errors.push(...validateApplyRules(spec.apply, 'spec.apply'));
  errors.push(...validateStrategy(spec.rollout, 'spec.rollout'));
  return errors;
}

/** Counters and phase are those of the rollout that is on its way, or was the last. */
async function decorateApplications(
  list: readonly Application[],
  objects: ObjectStore,
): Promise<readonly KubeObject[]> {
  const resource = resourceName(rollouts);
  const [only] = list;
  const found = new Map<string, Rollout>();
  const keep = (key: { namespace: string; name: string }, body: string) =>
    found.set(`${key.namespace}/${key.name}`, JSON.parse(body) as Rollout);
  if (list.length === 1 && only) {
    const name = only.status?.rollout;
    const key = { resource, namespace: only.metadata.namespace ?? '', name: name ?? '' };
    const stored = name === undefined ? undefined : await objects.find(key);
    if (stored) keep(stored.key, stored.body);
  } else if (list.length > 1) {
    for (const { key, body } of (await objects.list({ resource })).objects) keep(key, body);
  }
  return list.map((application) => {
    const { status, metadata } = application;
    const rollout = found.get(`${metadata.namespace ?? ''}/${status?.rollout ?? ''}`)?.status;
    if (!rollout) return application;
    return withStatus(application, {
      ...status,
      ...(rollout.sites ? { sites: rollout.sites } : {}),
      ...(rollout.phase ? { phase: rollout.phase } : {}),
    });
  });
}
