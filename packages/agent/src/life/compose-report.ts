import type { DesiredItem, ItemReport, Waiting } from '@selvedge/api';
import type { DriverReport } from '../drivers/driver.ts';
import type { UnnumberedReport } from '../state/report-book.ts';
import type { ItemDecision } from './item-facts.ts';
import type { Verdict } from './item-memory.ts';

/** Why the content of a release is not here. */
export interface ContentTrouble {
  readonly reason: string;
  readonly message: string;
  readonly sinceTime: string;
}

export interface ReportFacts {
  readonly target: DesiredItem;
  readonly decision: ItemDecision;
  /** What was reported last of this item. */
  readonly last: UnnumberedReport | undefined;
  readonly trouble: ContentTrouble | undefined;
  /** By the hub's clock. */
  readonly now: Date;
  /** Puts a time of the machine's clock right. */
  readonly correct: (machineTime: string) => string;
}

type Said = Pick<UnnumberedReport, 'state' | 'reason' | 'message' | 'logs' | 'waiting' | 'wentBack'> & {
  sinceTime?: string;
  activatedTime?: string;
};

/**
 * What the hub is told of an item: the driver's word where it speaks of this very assignment, with what only this side knows.
 * Pure. Undefined: nothing is known yet that the hub would not know.
 */
export function composeReport(facts: ReportFacts): UnnumberedReport | undefined {
  const { target, decision, last, now } = facts;
  const isOfThis = last?.epoch === target.epoch && last.digest === target.digest;
  const said = say(facts);
  if (said === undefined) return isOfThis ? withWhatRuns(last, decision.driver.runs) : undefined;
  // Since a restart the driver has not looked yet, and what was said last is about something else: a report would say that nothing runs.
  if (decision.memory.active !== undefined && decision.driver.runs === undefined && !isOfThis)
    return undefined;
  const { sinceTime, ...rest } = said;
  const isSame = isOfThis && last.state === rest.state;
  return {
    id: target.id,
    uid: target.uid,
    epoch: target.epoch,
    release: target.release,
    digest: target.digest,
    ...rest,
    // Until the driver has looked again, what it saw before the restart.
    ...(decision.driver.runs ?? whatRan(last)),
    sinceTime: sinceTime ?? (isSame ? last.sinceTime : now.toISOString()),
    observedTime: observedTime(facts),
  };
}

/** Said before, and nothing more is known: only what runs may be other than it was. */
function withWhatRuns(
  last: UnnumberedReport,
  runs: Pick<UnnumberedReport, 'runningDigest' | 'pods'> | undefined,
): UnnumberedReport | undefined {
  if (runs === undefined) return undefined;
  const {
    runningDigest: _digest,
    pods: _pods,
    seq: _seq,
    ...rest
  } = last as Partial<ItemReport> & typeof last;
  return { ...rest, ...runs };
}

function whatRan(last: UnnumberedReport | undefined): Pick<UnnumberedReport, 'runningDigest' | 'pods'> {
  const { runningDigest, pods } = last ?? {};
  return {
    ...(runningDigest === undefined ? {} : { runningDigest }),
    ...(pods === undefined ? {} : { pods }),
  };
}

function observedTime({ decision, now, correct }: ReportFacts): string {
  const { said } = decision.driver;
  const isOwnWord = decision.phase.kind === 'Active' && said !== undefined;
  return isOwnWord ? correct(said.observedTime) : now.toISOString();
}

/** The driver's word on this very assignment. */
function driverSays({ target, decision, correct }: ReportFacts): (Said & Partial<DriverReport>) | undefined {
  const { said } = decision.driver;
  if (said?.epoch !== target.epoch || said.digest !== target.digest) return undefined;
  const { state, reason, message, logs, progress, drift, images, sinceTime, activatedTime } = said;
  return {
    state,
    ...(reason === undefined ? {} : { reason }),
    ...(message === undefined ? {} : { message }),
    ...(logs === undefined ? {} : { logs }),
    ...(progress === undefined ? {} : { progress: inHubTime(progress, correct) }),
    ...(drift === undefined ? {} : { drift }),
    ...(images === undefined ? {} : { images }),
    ...(activatedTime === undefined ? {} : { activatedTime: correct(activatedTime) }),
    sinceTime: correct(sinceTime),
  };
}

function inHubTime(
  progress: NonNullable<DriverReport['progress']>,
  correct: ReportFacts['correct'],
): NonNullable<DriverReport['progress']> {
  const { doneAt } = progress;
  return doneAt === undefined ? progress : { ...progress, doneAt: correct(doneAt) };
}

function say(facts: ReportFacts): Said | undefined {
  const { decision, last, target } = facts;
  const { phase } = decision;
  const driver = driverSays(facts);
  switch (phase.kind) {
    case 'Active':
      return sayActive(facts, driver, phase.isOverdue);
    case 'WentBack':
      return sayWentBack(phase.verdict, decision);
    case 'BringingBack':
      // After a restart it lasts a moment: what was said of this assignment before still holds.
      if (last?.epoch === target.epoch && last.digest === target.digest) return undefined;
      return {
        state: 'Preparing',
        reason: 'BringingBack',
        message: `${decision.memory.active?.release} is brought back first`,
      };
    case 'Fetching':
      return sayFetching(facts, phase.waiting);
    case 'Preparing':
      if (phase.isOverdue && driver?.state !== 'Refused') return sayPrepareOverdue(facts, driver);
      return driver && withWaiting(driver, phase.waiting);
    case 'Prepared': {
      // Prepared under an assignment before this one still counts: the same bytes, the same values.
      const { activatedTime: _none, ...rest } = driver ?? { state: 'Prepared' as const };
      return { ...rest, state: 'Prepared', waiting: phase.waiting };
    }
    case 'NotWanted':
      return undefined;
  }
}

function sayActive(
  { decision, target, trouble }: ReportFacts,
  driver: (Said & Partial<DriverReport>) | undefined,
  isOverdue: boolean,
): Said | undefined {
  // The content was lost here (a new disk): the fetcher knows more of it than the driver.
  if (trouble !== undefined && (driver === undefined || driver.state === 'Pending')) {
    return { state: 'Preparing', ...trouble };
  }
  const activatedTime = decision.memory.active?.activatedTime ?? driver?.activatedTime;
  const activated = activatedTime === undefined ? {} : { activatedTime };
  const isBeforeActivation =
    driver === undefined || ['Pending', 'Preparing', 'Prepared'].includes(driver.state);
  if (isOverdue && driver?.state !== 'Failed' && driver?.state !== 'Running') {
    const { sinceTime: _of, ...rest } = driver ?? {};
    return {
      ...rest,
      state: 'Failed',
      reason: driver?.reason ?? 'DeadlineExceeded',
      message:
        driver?.message ?? `not healthy within ${target.deadlineSeconds} seconds after it was activated`,
      ...activated,
    };
  }
  if (isBeforeActivation && decision.memory.active?.activatedTime !== undefined) {
    const { sinceTime: _of, ...rest } = driver ?? {};
    return decision.memory.active.isProven && driver === undefined
      ? undefined
      : { ...rest, state: 'Activating', ...activated };
  }
  return driver && { ...driver, ...activated };
}

function sayWentBack(verdict: Verdict, { memory, driver }: ItemDecision): Said {
  const { reason, message, logs, kind, time, activatedTime } = verdict;
  const hasOther = memory.active !== undefined && memory.active.digest !== verdict.digest;
  const back = hasOther ? `; the site went back to ${memory.active?.release}` : '';
  const trouble =
    driver.given?.digest === driver.said?.digest && driver.said?.state === 'Failed'
      ? `, which is not healthy either: ${driver.said.message ?? driver.said.reason ?? 'Failed'}`
      : '';
  return {
    state: 'Failed',
    reason,
    message: `${message}${back}${hasOther ? trouble : ''}`,
    ...(logs === undefined ? {} : { logs: [...logs] }),
    ...(hasOther ? { wentBack: kind } : {}),
    ...(activatedTime === undefined ? {} : { activatedTime }),
    sinceTime: time,
  };
}

/** Nothing while it is only a moment: the fetcher tells when it takes longer. */
function sayFetching({ trouble }: ReportFacts, waiting: Waiting | undefined): Said | undefined {
  if (waiting !== undefined) return { state: 'Preparing', waiting };
  if (trouble === undefined) return undefined;
  return { state: 'Preparing', ...trouble };
}

function sayPrepareOverdue(
  { target, trouble }: ReportFacts,
  driver: (Said & Partial<DriverReport>) | undefined,
): Said {
  const { sinceTime: _of, ...rest } = driver ?? {};
  const why = driver?.message ?? trouble?.message;
  return {
    ...rest,
    state: 'Failed',
    reason:
      driver?.state === 'Failed' ? (driver.reason ?? 'PrepareDeadlineExceeded') : 'PrepareDeadlineExceeded',
    message: `not prepared within ${target.terms.prepareSeconds} seconds${why === undefined ? '' : `: ${why}`}`,
  };
}

/** Without the right to fetch, preparing cannot go further: that is no fault of the site. */
function withWaiting(driver: Said, waiting: Waiting | undefined): Said {
  const isStuck = driver.state === 'Pending' || driver.state === 'Preparing';
  return waiting !== undefined && isStuck ? { ...driver, waiting } : driver;
}
