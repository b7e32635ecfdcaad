import { createHash } from 'node:crypto';
import { type Delivery, type DeliveryState, releaseName } from '@selvedge/api';
import type { DeliveryRow } from '@selvedge/store';
import type { SiteContact } from './fleet-view.ts';
import { evidenceOf } from '../rollout/evidence.ts';

/** What the site says of exactly what is wanted there; not a word about anything older. */
export function deliveryState(row: DeliveryRow): DeliveryState {
  if (row.phase !== 'Wanted') return row.phase;
  return evidenceOf(row)?.state ?? 'Pending';
}

/** `<application>.<site>`: names of applications have no dots. */
export function deliveryName(row: Pick<DeliveryRow, 'application' | 'site'>): string {
  return `${row.application}.${row.site}`;
}

export function parseDeliveryName(name: string): { application: string; site: string } | undefined {
  const dot = name.indexOf('.');
  return dot < 1 ? undefined : { application: name.slice(0, dot), site: name.slice(dot + 1) };
}

/**
 * The row that stands for an application at a site, of its rows there: the wanted one; else the newest removal that is
 * not done. `undefined`: nothing of it is wanted or left there.
 */
export function presentRow(rows: readonly DeliveryRow[]): DeliveryRow | undefined {
  const alive = rows.filter((row) => !row.deleted && row.phase !== 'Removed');
  return (
    alive.find((row) => row.phase === 'Wanted') ?? alive.toSorted((a, b) => b.revision - a.revision).at(0)
  );
}

export function deliveryObject(row: DeliveryRow, contact: SiteContact): Delivery {
  const state = deliveryState(row);
  const { report } = row;
  const isCurrent = report !== undefined && report.uid === row.applicationUid && report.epoch === row.epoch;
  const running = runningRelease(row);
  return {
    apiVersion: 'selvedge.dev/v1alpha1',
    kind: 'Delivery',
    metadata: {
      name: deliveryName(row),
      namespace: row.namespace,
      uid: uidOf(row),
      resourceVersion: String(row.revision),
      creationTimestamp: row.assignedAt,
      labels: { 'selvedge.dev/application': row.application, 'selvedge.dev/site': row.site },
    },
    spec: {
      application: row.application,
      site: row.site,
      ...(row.phase === 'Wanted' ? { release: row.release, digest: row.digest } : {}),
      epoch: row.epoch,
      assignedTime: row.assignedAt,
      ...termsOf(row),
      ...(row.rollout === '' ? {} : { rollout: row.rollout }),
      ...(row.wave === '' ? {} : { wave: row.wave }),
    },
    status: {
      state,
      ...(running === undefined ? {} : { runningRelease: running }),
      ...(isCurrent && report.reason !== undefined ? { reason: report.reason } : {}),
      ...(isCurrent && report.message !== undefined ? { message: report.message } : {}),
      ...(isCurrent && report.logs !== undefined ? { logs: report.logs } : {}),
      ...(isCurrent && report.pods !== undefined ? { pods: report.pods } : {}),
      ...(isCurrent && report.waiting !== undefined ? { waiting: report.waiting } : {}),
      ...(isCurrent && report.progress !== undefined ? { progress: report.progress } : {}),
      ...(isCurrent && report.activatedTime !== undefined ? { activatedTime: report.activatedTime } : {}),
      ...(isCurrent && report.wentBack !== undefined ? { wentBack: report.wentBack } : {}),
      ...(isCurrent && report.drift !== undefined && report.drift.length > 0 ? { drift: report.drift } : {}),
      sinceTime: isCurrent ? report.sinceTime : row.assignedAt,
      ...(report === undefined
        ? {}
        : {
            observedTime: laterOf(report.observedTime, contact.observedTime),
            receivedTime: report.receivedAt,
          }),
      connectivity: contact.connectivity,
      ...(contact.lastSeenTime === undefined ? {} : { lastSeenTime: contact.lastSeenTime }),
    },
  };
}

/** How the release is to take the place of the one before; a tombstone has no such terms. */
function termsOf({ phase, terms }: DeliveryRow): Partial<Delivery['spec']> {
  if (phase !== 'Wanted') return {};
  const { activate, activateAt, attempt, fallback } = terms;
  return {
    activate,
    ...(activateAt === undefined ? {} : { activateTime: activateAt }),
    attempt,
    ...(fallback === undefined ? {} : { fallback: fallback.release }),
  };
}

function laterOf(a: string, b: string | undefined): string {
  return b !== undefined && Date.parse(b) > Date.parse(a) ? b : a;
}

/** The name of a release follows from its digest, so that of one which is no longer wanted is known too. */
function runningRelease(row: DeliveryRow): string | undefined {
  const digest = row.report?.runningDigest;
  if (digest === undefined || digest === '') return undefined;
  if (digest === row.digest) return row.release;
  if (digest === row.terms.fallback?.digest) return row.terms.fallback.release;
  return row.report?.digest === digest ? row.report.release : releaseName(row.application, digest);
}

/** The same for the same application at the same site, in the form of a UUID. */
function uidOf(row: DeliveryRow): string {
  const hex = createHash('sha256').update(`${row.applicationUid}/${row.site}`).digest('hex');
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `8${hex.slice(13, 16)}`,
    `8${hex.slice(17, 20)}`,
    hex.slice(20, 32),
  ].join('-');
}
