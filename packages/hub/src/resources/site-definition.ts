import {
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
import type { ResourceDefinition } from '@selvedge/apiserver';
import type { DeliveryRow } from '@selvedge/store';
import { deliveryState } from './delivery-object.ts';
import { type FleetView, withStatus } from './fleet-view.ts';
import { validateDuration } from './validate-strategy.ts';

/** Names of sites are values of labels too. */
export const maxSiteNameLength = 63;

export function siteDefinition(view: FleetView): ResourceDefinition {
  return {
    ref: sites,
    singular: 'site',
    categories: ['selvedge'],
    description: 'A place that runs things: a shop, a plant, a region of the cloud.',
    statusSubresource: true,
    schema: { type: 'object', properties: { spec: siteSpecSchema, status: siteStatusSchema } },
    prepare: (object) => withoutReadFields(object as Site),
    validate: (object) => validateSite(object as Site),
    decorate: (objects) => decorateSites(objects as readonly Site[], view),
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
      applications: applications.get(name) ?? { wanted: 0, running: 0, progressing: 0, failed: 0 },
    });
  });
}

type ApplicationCounts = NonNullable<SiteStatus['applications']>;

function countApplications(rows: readonly DeliveryRow[]): Map<string, ApplicationCounts> {
  const bySite = new Map<string, ApplicationCounts>();
  for (const row of rows) {
    if (row.phase !== 'Wanted') continue;
    let counts = bySite.get(row.site);
    if (!counts) {
      counts = { wanted: 0, running: 0, progressing: 0, failed: 0 };
      bySite.set(row.site, counts);
    }
    const state = deliveryState(row);
    counts.wanted += 1;
    if (state === 'Running') counts.running += 1;
    else if (state === 'Failed' || state === 'Refused') counts.failed += 1;
    else counts.progressing += 1;
  }
  return bySite;
}
