import { type ItemTerms, type SitePolicy, type Waiting, windowState } from '@selvedge/api';

/** Who keeps an item as it is, and why. */
export interface Hold {
  readonly reason: 'SiteHold' | 'HubHold';
  readonly message: string;
}

/**
 * What a prepared release waits for before it may take over; undefined: nothing. Pure. A hold binds every way of
 * activation; windows and blackouts bind `Window` alone.
 */
export function findWaiting(
  terms: ItemTerms,
  facts: { policy: SitePolicy; hold: Hold | undefined; now: Date },
): Waiting | undefined {
  const { policy, hold, now } = facts;
  if (hold !== undefined) return hold;
  switch (terms.activate) {
    case 'Now':
      return undefined;
    case 'Hold':
      return { reason: 'Hub', message: 'prepared; the hub has not said yet that it may be activated' };
    case 'At':
      return waitForInstant(terms.activateAt, now);
    case 'Window':
      return waitForWindow(policy, now);
  }
}

/** An instant that nobody can read never comes: better than one that comes at once. */
function waitForInstant(activateAt: string | undefined, now: Date): Waiting | undefined {
  const atMs = activateAt === undefined ? Number.NaN : Date.parse(activateAt);
  if (Number.isNaN(atMs)) {
    return { reason: 'Hub', message: 'the instant at which it is to be activated cannot be read' };
  }
  if (now.getTime() >= atMs) return undefined;
  const until = new Date(atMs).toISOString();
  return { reason: 'Instant', until, message: `is activated at ${until}` };
}

function waitForWindow(policy: SitePolicy, now: Date): Waiting | undefined {
  const { isOpen, changesAt, blackout, fault } = windowState(policy, 'activate', now);
  if (isOpen) return undefined;
  const until = changesAt === undefined ? {} : { until: changesAt };
  if (blackout !== undefined) {
    const why = blackout.reason === undefined ? '' : `: ${blackout.reason}`;
    return {
      reason: 'Blackout',
      ...until,
      message: `blackout from ${blackout.from} to ${blackout.to}${why}`,
    };
  }
  return { reason: 'ActivateWindow', ...until, message: fault ?? windowMessage('activate', changesAt) };
}

/** What a download waits for; undefined: nothing. `Now` does not wait for windows. */
export function findDownloadWaiting(
  terms: Pick<ItemTerms, 'activate'>,
  policy: SitePolicy,
  now: Date,
): Waiting | undefined {
  if (terms.activate === 'Now') return undefined;
  const { isOpen, changesAt, fault } = windowState(policy, 'download', now);
  if (isOpen) return undefined;
  return {
    reason: 'DownloadWindow',
    ...(changesAt === undefined ? {} : { until: changesAt }),
    message: fault ?? windowMessage('download', changesAt),
  };
}

function windowMessage(kind: 'download' | 'activate', opensAt: string | undefined): string {
  const next = opensAt === undefined ? 'none opens within a year' : `the next opens at ${opensAt}`;
  return `no ${kind} window of the site is open; ${next}`;
}
