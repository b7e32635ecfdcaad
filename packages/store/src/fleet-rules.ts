import { isDeepStrictEqual } from 'node:util';
import {
  defaultSitePolicy,
  fittingWait,
  type ItemReport,
  type ItemTerms,
  type RemovalMode,
  StatusError,
} from '@selvedge/api';
import type {
  AdoptedRow,
  AdoptedState,
  Assignment,
  DeliveryRow,
  KeptReport,
  SiteSettings,
} from './fleet-store.ts';

/** A row that is not given its revisions yet; without `createRevision` a new life begins. */
export type UnsavedRow = Omit<DeliveryRow, 'revision' | 'createRevision'> & {
  readonly createRevision?: number | undefined;
};

/** Of a site that nobody set any for. */
export const noSettings: SiteSettings = { variables: {}, policy: defaultSitePolicy };

/** What is stored is compared, so a key that is there but undefined is none. */
export function isSameSettings(stored: SiteSettings, given: SiteSettings): boolean {
  const { variables, policy } = asStored(given);
  return isDeepStrictEqual([stored.variables, stored.policy], [variables, policy]);
}

/**
 * Whether the row already orders what is assigned. What it says of deadline and fallback is what the site was told under
 * this epoch, so that these stay until something else changes.
 */
export function isAssigned(row: DeliveryRow | undefined, assignment: Assignment): row is DeliveryRow {
  return (
    row?.phase === 'Wanted' &&
    !row.deleted &&
    row.digest === assignment.digest &&
    isDeepStrictEqual(withoutFallback(row.terms), withoutFallback(asStored(assignment.terms)))
  );
}

/** The row that an assignment makes in a new epoch. @param present the row of this life, if there is one. */
export function assignedRow(
  assignment: Assignment,
  { epoch, now, present }: { epoch: number; now: Date; present: DeliveryRow | undefined },
): UnsavedRow {
  return {
    site: assignment.site,
    namespace: assignment.namespace,
    application: assignment.application,
    applicationUid: assignment.applicationUid,
    phase: 'Wanted',
    release: assignment.release,
    digest: assignment.digest,
    epoch,
    assignedAt: now.toISOString(),
    deadlineSeconds: assignment.deadlineSeconds,
    terms: asStored(assignment.terms),
    removal: 'Delete',
    rollout: assignment.rollout,
    wave: assignment.wave,
    ...lifeOf(present),
    deleted: false,
  };
}

export function tombstoneOf(
  row: DeliveryRow,
  { epoch, now, mode }: { epoch: number; now: Date; mode: RemovalMode },
): UnsavedRow {
  return {
    ...row,
    phase: 'Removing',
    release: '',
    digest: '',
    epoch,
    assignedAt: now.toISOString(),
    removal: mode,
    rollout: '',
    wave: '',
  };
}

/** When a removal was ordered that this hub heard of from the site only: long ago, so that nobody counts it as a new one. */
const longAgo = '1970-01-01T00:00:00.000Z';

/**
 * Rows to save so that a site's are those that it follows; see `FleetStore.adoptSiteState`.
 * @param present the site as the hub has it, without deleted rows.
 */
export function adoptedRows(
  site: string,
  state: AdoptedState,
  present: { readonly epoch: number; readonly rows: readonly DeliveryRow[]; readonly now: Date },
): UnsavedRow[] {
  requireSound(site, state);
  if (present.epoch >= state.epoch) {
    throw new StatusError(
      'Conflict',
      `site "${site}" follows epoch ${state.epoch}, the hub is at ${present.epoch}: only a state that is ahead of the hub can be adopted`,
    );
  }
  const known = new Map(present.rows.map((row) => [nameOf(row), row]));
  const adopted = new Set(state.rows.map(nameOf));
  const dropped = present.rows
    .filter((row) => !adopted.has(nameOf(row)))
    .map((row) => {
      const { report: _, ...rest } = row;
      return { ...rest, deleted: true };
    });
  const taken = state.rows.map((row) => adoptedRow(site, row, { known: known.get(nameOf(row)), ...present }));
  return [...dropped, ...taken];
}

function adoptedRow(
  site: string,
  row: AdoptedRow,
  { known, now }: { known: DeliveryRow | undefined; now: Date },
): UnsavedRow {
  const { namespace, application, applicationUid, epoch, deadlineSeconds, terms } = row;
  const isTombstone = row.phase === 'Removing';
  // Under one epoch a hub that was restored may have ordered something else meanwhile.
  const isSameOrder =
    known?.epoch === epoch && (isTombstone ? known.phase !== 'Wanted' : known.digest === row.digest);
  return {
    site,
    namespace,
    application,
    applicationUid,
    phase: isTombstone && isSameOrder && known.phase === 'Removed' ? 'Removed' : row.phase,
    release: isTombstone ? '' : row.release,
    digest: isTombstone ? '' : row.digest,
    epoch,
    assignedAt: isSameOrder ? known.assignedAt : isTombstone ? longAgo : now.toISOString(),
    deadlineSeconds,
    terms: asStored(terms),
    removal: isTombstone ? row.removal : 'Delete',
    rollout: '',
    wave: '',
    ...lifeOf(known),
    deleted: false,
  };
}

function requireSound(site: string, { epoch, rows }: AdoptedState): void {
  const wanted = rows
    .filter((row) => row.phase === 'Wanted')
    .map((row) => `${row.namespace}/${row.application}`);
  const isSound =
    isEpoch(epoch) &&
    rows.every((row) => isEpoch(row.epoch) && row.epoch <= epoch) &&
    new Set(rows.map(nameOf)).size === rows.length &&
    new Set(wanted).size === wanted.length;
  if (!isSound) {
    throw new StatusError(
      'BadRequest',
      `what site "${site}" says it follows contradicts itself: it is not adopted`,
    );
  }
}

/** Far below what JavaScript and the engines count to, so that no site can use up its epochs with one wrong number. */
const isEpoch = (value: number): boolean => Number.isSafeInteger(value) && value >= 1 && value < 2 ** 52;

/** What goes on from the row of the same life, if there is one. */
function lifeOf(present: DeliveryRow | undefined): Pick<UnsavedRow, 'report' | 'createRevision'> {
  if (present === undefined || present.deleted) return {};
  const { report, createRevision } = present;
  return { ...(report === undefined ? {} : { report }), createRevision };
}

function withoutFallback(terms: ItemTerms): Omit<ItemTerms, 'fallback'> {
  const { fallback: _, ...rest } = terms;
  return rest;
}

const nameOf = (row: Pick<DeliveryRow, 'namespace' | 'application' | 'applicationUid'>): string =>
  [row.namespace, row.application, row.applicationUid].join('\n');

/** As it is read back. */
const asStored = <Value>(value: Value): Value => JSON.parse(JSON.stringify(value)) as Value;

/** A report as it is kept. @param before the one that it replaces. */
export function keptReport(
  report: ItemReport,
  before: KeptReport | undefined,
  receivedAt: string,
): KeptReport {
  const isSame =
    before?.uid === report.uid && before.epoch === report.epoch && before.digest === report.digest;
  if (!isSame || !isUnanswered(before) || !isUnanswered(report)) return { ...report, receivedAt };
  const unansweredSince = before.unansweredSince ?? before.receivedAt;
  return { ...report, receivedAt, ...(unansweredSince === receivedAt ? {} : { unansweredSince }) };
}

/** The site works on it, by its own account: it neither ended well or badly, nor waits. */
function isUnanswered(report: ItemReport): boolean {
  const hasEnded = report.state === 'Running' || report.state === 'Failed' || report.state === 'Refused';
  return !hasEnded && fittingWait(report) === undefined;
}
