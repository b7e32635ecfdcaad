import {
  type Condition,
  type FieldError,
  fieldInvalid,
  isVariableName,
  type KubeObject,
  type Site,
  type SiteStatus,
  sites,
  siteSpecSchema,
  siteStatusSchema,
} from '@selvedge/api';
import type { ConnectSubresource, ResourceDefinition, SubresourceAction } from '@selvedge/apiserver';
import type { DeliveryRow } from '@selvedge/store';
import { admitRemoval, withRemovalFinalizer } from './admit-removal.ts';
import { evidenceOf } from '../rollout/evidence.ts';
import { deliveryState } from './delivery-object.ts';
import { type FleetView, withStatus } from './fleet-view.ts';
import { requestRecovery, type RecoveryOptions } from './request-recovery.ts';
import { validateDepot } from './validate-depot.ts';
import { validateNodeGroups } from './validate-node-groups.ts';
import { validateRack } from './validate-rack.ts';
import { validateDuration } from './validate-strategy.ts';
import { validateWindows } from './validate-windows.ts';

/** Names of sites are values of labels too. */
export const maxSiteNameLength = 63;

export interface SiteOptions extends Pick<RecoveryOptions, 'client'> {
  /** `sites/NAME/proxy`; absent: not served. */
  readonly siteProxy?: ConnectSubresource;
  /** `sites/NAME/export`; absent: not served. */
  readonly siteExport?: ConnectSubresource;
}

export function siteDefinition(
  view: FleetView,
  { client, siteProxy, siteExport }: SiteOptions,
): ResourceDefinition {
  const { fleet, clock } = view;
  const recoverBy = (action: 'Adopt' | 'Override'): SubresourceAction => ({
    kind: { group: 'selvedge.dev', version: 'v1alpha1', kind: 'Site' },
    invoke: (object, _body, { user, dryRun }) =>
      requestRecovery({ client, fleet, clock }, object as Site, { action, user: user.name, dryRun }),
  });
  return {
    ref: sites,
    singular: 'site',
    categories: ['selvedge'],
    description: 'A place that runs things: a shop, a plant, a region of the cloud.',
    statusSubresource: true,
    schema: { type: 'object', properties: { spec: siteSpecSchema, status: siteStatusSchema } },
    prepare: (object, previous) => withRemovalFinalizer(withoutReadFields(object as Site), previous),
    validate: (object) => validateSite(object as Site),
    admit: admitRemoval(sites),
    decorate: (objects) => decorateSites(objects as readonly Site[], view),
    actions: { adopt: recoverBy('Adopt'), override: recoverBy('Override') },
    connect: { ...(siteProxy ? { proxy: siteProxy } : {}), ...(siteExport ? { export: siteExport } : {}) },
    columns: [
      {
        name: 'Connectivity',
        type: 'string',
        description: 'Connected, Away (silent, as may be), Overdue (silent for too long) or NeverConnected.',
        value: (o) => (o as Site).status?.connectivity,
      },
      {
        name: 'Last Seen',
        type: 'date',
        description: 'Time since the hub last heard from the site.',
        value: (o) => (o as Site).status?.lastSeenTime,
      },
      {
        name: 'Running',
        type: 'string',
        description: 'Applications that run as wanted, of those wanted.',
        value: (o) => {
          const applications = (o as Site).status?.applications;
          return applications && `${applications.running}/${applications.wanted}`;
        },
      },
      {
        name: 'Failed',
        type: 'integer',
        description: 'Applications that failed.',
        value: (o) => (o as Site).status?.applications?.failed,
      },
      {
        name: 'Attention',
        type: 'string',
        description: 'Conditions that a person should look at: HubBehind, TwoHubs, Held, …',
        value: (o) => attention(o as Site),
      },
      {
        name: 'Version',
        type: 'string',
        description: 'Version of the agent.',
        value: (o) => (o as Site).status?.agent?.version,
      },
      {
        name: 'Runtime',
        type: 'string',
        description: 'What runs the containers.',
        priority: 1,
        value: (o) => (o as Site).status?.agent?.runtime,
      },
      {
        name: 'Epoch',
        type: 'integer',
        description: 'Epoch of the desired state that the hub wants there.',
        priority: 1,
        value: (o) => (o as Site).status?.epoch,
      },
    ],
  };
}

/** Conditions that ask for a look, the worst first, with the status in which they do. */
const attentionConditions: readonly (readonly [type: string, status: Condition['status']])[] = [
  ['TwoHubs', 'True'],
  ['HubBehind', 'True'],
  ['DesiredStateAccepted', 'False'],
  ['RemovalRefused', 'True'],
  ['RemovalHeld', 'True'],
  ['KeyRevoked', 'True'],
  ['RackReady', 'False'],
  ['Held', 'True'],
];

/** Where the type says the opposite of what asks for a look. */
const attentionNames: Readonly<Record<string, string>> = {
  DesiredStateAccepted: 'StateRefused',
  RackReady: 'RackNotReady',
};

function attention({ status }: Site): string | undefined {
  const found = attentionConditions.filter(([type, faulty]) =>
    status?.conditions?.some((c) => c.type === type && c.status === faulty),
  );
  const names = found.map(([type]) => attentionNames[type] ?? type);
  return names.length === 0 ? undefined : names.join(',');
}

/** What is filled in when read is not stored, whoever sends it back. */
function withoutReadFields(site: Site): Site {
  if (!site.status) return site;
  const { connectivity: _c, lastSeenTime: _l, epoch: _e, applications: _a, ...stored } = site.status;
  return withStatus(site, stored);
}

function validateSite({ metadata, spec }: Site): FieldError[] {
  const errors: FieldError[] = [];
  if (metadata.name.length > maxSiteNameLength) {
    const rule = `must be no more than ${maxSiteNameLength} characters`;
    errors.push(fieldInvalid('metadata.name', metadata.name, rule));
  }
  if (spec?.timeZone !== undefined && !isTimeZone(spec.timeZone)) {
    errors.push(
      fieldInvalid('spec.timeZone', spec.timeZone, 'must be an IANA time zone, as in Europe/Berlin'),
    );
  }
  errors.push(...validateDuration(spec?.connectivity?.expected, 'spec.connectivity.expected'));
  errors.push(...validateWindows(spec ?? {}, 'spec'));
  errors.push(...validateNodeGroups(spec?.nodeGroups, 'spec.nodeGroups'));
  errors.push(...validateDepot(spec?.depot, 'spec.depot'));
  errors.push(...validateRack(spec?.rack, 'spec.rack'));
  for (const name of Object.keys(spec?.variables ?? {})) {
    if (!isVariableName(name)) {
      errors.push(
        fieldInvalid(
          'spec.variables',
          name,
          "the name of a variable must begin with a letter or '_' and consist of letters, digits, '_' and '-', at most 63",
        ),
      );
    }
  }
  return errors;
}

/** Found to be some. Asking costs more than all else in the check of a Site, and most Sites have the same few. */
const knownTimeZones = new Set<string>();
const maxKnownTimeZones = 1000;

function isTimeZone(name: string): boolean {
  if (knownTimeZones.has(name)) return true;
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
  } catch {
    return false;
  }
  if (knownTimeZones.size < maxKnownTimeZones) knownTimeZones.add(name);
  return true;
}

async function decorateSites(objects: readonly Site[], view: FleetView): Promise<KubeObject[]> {
  const [only] = objects;
  const filter = objects.length === 1 && only ? { site: only.metadata.name } : {};
  const [contact, epochs, { rows }] = await Promise.all([
    view.contacts(),
    view.epochs(),
    objects.length === 0 ? { rows: [] } : view.fleet.listDeliveries(filter),
  ]);
  const applications = countApplications(rows);
  return objects.map((site) => {
    const { name } = site.metadata;
    const { connectivity, lastSeenTime } = contact(name, site.spec ?? {});
    return withStatus(site, {
      ...site.status,
      connectivity,
      ...(lastSeenTime === undefined ? {} : { lastSeenTime }),
      epoch: epochs.get(name) ?? 0,
      applications: applications.get(name) ?? { ...noApplications },
    });
  });
}

type ApplicationCounts = NonNullable<SiteStatus['applications']> & { prepared: number };

const noApplications: ApplicationCounts = {
  wanted: 0,
  running: 0,
  progressing: 0,
  prepared: 0,
  failed: 0,
};

function countApplications(rows: readonly DeliveryRow[]): Map<string, ApplicationCounts> {
  const bySite = new Map<string, ApplicationCounts>();
  for (const row of rows) {
    if (row.phase !== 'Wanted') continue;
    let counts = bySite.get(row.site);
    if (!counts) {
      counts = { ...noApplications };
      bySite.set(row.site, counts);
    }
    const state = deliveryState(row);
    counts.wanted += 1;
    if (state === 'Running') counts.running += 1;
    else if (state === 'Failed' || state === 'Refused') counts.failed += 1;
    else counts.progressing += 1;
    if (state === 'Prepared') counts.prepared += 1;
    if ((evidenceOf(row)?.drift ?? []).length > 0) counts.drifted = (counts.drifted ?? 0) + 1;
  }
  return bySite;
}
