import type { DesiredItem, Waiting } from '@selvedge/api';
import { count, countsOf, spentPreparing, untilDeadline } from './deadlines.ts';
import { judge, recover } from './go-back.ts';
import {
  type DriverView,
  type Given,
  isActive,
  isInForce,
  type ItemDecision,
  type ItemFacts,
  type Phase,
  saidOfGiven,
} from './item-facts.ts';
import { type ActiveRelease, findBindingVerdict, withProvenActive } from './item-memory.ts';
import { findDownloadWaiting, findWaiting } from './may-activate.ts';

/** For an item to be brought back by the driver before others get their turn. */
const shortestBringingBackMs = 120_000;

/**
 * What is to be done with one item now. Pure: the same facts give the same decision, and deciding again changes nothing. Whatever
 * happens, what is active stays so until another release, which was prepared, takes over.
 */
export function decideItem(facts: ItemFacts): ItemDecision {
  const learnt = learn(facts);
  const counted = count(learnt);
  const judged = judge(counted);
  const chosen = choose(withGivenUp(recover(judged.facts)));
  const { memory, driver } = chosen;
  const counts = countsOf({ ...facts, memory, driver });
  const isCounting = counts.preparing || counts.activating || (memory.active && !driver.hasActive);
  return {
    ...chosen,
    driver: { ...driver, counts },
    ...(isCounting ? { wakeInMs: untilDeadline(memory, counts) } : {}),
    ...(judged.wentBack ? { wentBack: judged.wentBack } : {}),
  };
}

/** What follows from the driver's last word. */
function learn(facts: ItemFacts): ItemFacts {
  const { driver, target } = facts;
  const { given } = driver;
  const said = saidOfGiven(driver);
  let { memory } = facts;
  if (said === undefined || given === undefined) return withConfirmedTarget(facts);
  const isOfTarget = target !== undefined && given.digest === target.digest && said.epoch === target.epoch;
  if (isOfTarget && !isActive(target, memory) && isInForce(said)) {
    // The driver knows better: what it has in force outlived this agent's memory.
    memory = { ...memory, active: activeOf(target), activatingMs: 0 };
  }
  const { active } = memory;
  if (active === undefined) return { ...facts, memory };
  const hasActive =
    driver.hasActive ||
    said.runningDigest === active.digest ||
    (given.digest === active.digest && isInForce(said));
  const isGivenToRun = given.digest === active.digest;
  const isHealthy = isGivenToRun && said.state === 'Running';
  const isNews = !active.isProven || memory.verdicts.some(({ digest }) => digest === active.digest);
  if (isHealthy && isNews) memory = withProvenActive(memory, active);
  return withConfirmedTarget({ ...facts, memory, driver: { ...driver, hasActive } });
}

/** The hub wants what is active already: it may be another try, with another deadline. */
function withConfirmedTarget(facts: ItemFacts): ItemFacts {
  const { target, memory } = facts;
  const { active } = memory;
  if (target === undefined || active?.digest !== target.digest) return facts;
  const { release, epoch, deadlineSeconds, terms } = target;
  const attempt = Math.max(active.attempt, terms.attempt);
  if (
    active.epoch === epoch &&
    active.release === release &&
    active.attempt === attempt &&
    active.deadlineSeconds === deadlineSeconds
  ) {
    return facts;
  }
  const isNewTry = attempt > active.attempt;
  const confirmed = { ...active, release, epoch, attempt, deadlineSeconds };
  const verdicts = isNewTry
    ? memory.verdicts.filter(({ digest }) => digest !== target.digest)
    : memory.verdicts;
  return {
    ...facts,
    memory: {
      ...memory,
      active: confirmed,
      verdicts,
      activatingMs: isNewTry ? 0 : memory.activatingMs,
    },
  };
}

function choose(facts: ItemFacts): ItemDecision {
  const { target, memory } = facts;
  if (target === undefined) return stay(facts, { kind: 'NotWanted' });
  if (isActive(target, memory)) return runTarget(facts, target);
  const verdict = findBindingVerdict(memory, target);
  if (verdict !== undefined) return stay(facts, { kind: 'WentBack', verdict });
  if (isBroughtBackFirst(facts)) return stay(facts, { kind: 'BringingBack' });
  return prepare(facts, target);
}

/** Before anything new is begun, the driver has to have what is active: after a restart, a lost disk, or going back. */
function isBroughtBackFirst({ memory, driver, isLost }: ItemFacts): boolean {
  const { active } = memory;
  if (active === undefined || driver.hasActive || isLost(active.digest)) return false;
  return driver.bringingBackMs < longestBringingBackMs(active);
}

/** What the driver has said not to be able to bring back it is not asked for again: its word is gone when something else is given. */
function withGivenUp(facts: ItemFacts): ItemFacts {
  const { memory, driver } = facts;
  const { active } = memory;
  const said = saidOfGiven(driver);
  if (active === undefined || driver.hasActive || said?.digest !== active.digest) return facts;
  if (said.state !== 'Failed' && said.state !== 'Refused') return facts;
  const bringingBackMs = Math.max(driver.bringingBackMs, longestBringingBackMs(active));
  return { ...facts, driver: { ...driver, bringingBackMs } };
}

function longestBringingBackMs({ deadlineSeconds }: ActiveRelease): number {
  return Math.max(shortestBringingBackMs, deadlineSeconds * 1000);
}

/** The driver goes on with what is active. */
function stay(facts: ItemFacts, phase: Phase): ItemDecision {
  const { memory, target } = facts;
  const { active } = memory;
  if (active === undefined) return { memory, driver: withGiven(facts, undefined), phase };
  const { release, digest, deadlineSeconds } = active;
  const given: Given = {
    release,
    digest,
    deadlineSeconds,
    epoch: target?.epoch ?? active.epoch,
    mayFetch: true,
    mayActivate: true,
  };
  return { memory, driver: withGiven(facts, given), phase };
}

function runTarget(facts: ItemFacts, target: DesiredItem): ItemDecision {
  const { memory } = facts;
  const active = memory.active as ActiveRelease;
  const isOverdue = !active.isProven && memory.activatingMs >= active.deadlineSeconds * 1000;
  return {
    memory,
    driver: withGiven(facts, givenTarget(target, { mayFetch: true, mayActivate: true })),
    phase: { kind: 'Active', isOverdue },
  };
}

function prepare(facts: ItemFacts, target: DesiredItem): ItemDecision {
  const { policy, now, hold, memory } = facts;
  const download = findDownloadWaiting(target.terms, policy, now);
  if (!facts.hasContent(target.digest)) {
    const phase = { kind: 'Fetching' as const, ...(download === undefined ? {} : { waiting: download }) };
    return { ...stay(facts, overdueFetching(facts, target) ?? phase), ...wakeFor(download) };
  }
  if (!isPrepared(facts, target)) {
    const given = givenTarget(target, { mayFetch: download === undefined, mayActivate: false });
    const isOverdue = spentPreparing(memory, target) >= target.terms.prepareSeconds * 1000;
    const phase = {
      kind: 'Preparing' as const,
      isOverdue,
      ...(download === undefined ? {} : { waiting: download }),
    };
    return { memory, driver: withGiven(facts, given), phase, ...wakeFor(download) };
  }
  const waiting = findWaiting(target.terms, { policy, hold, now });
  if (waiting === undefined) return activate(facts, target);
  const given = givenTarget(target, { mayFetch: download === undefined, mayActivate: false });
  return {
    memory,
    driver: withGiven(facts, given),
    phase: { kind: 'Prepared', waiting },
    ...wakeFor(waiting),
  };
}

function overdueFetching({ memory }: ItemFacts, target: DesiredItem): Phase | undefined {
  return spentPreparing(memory, target) >= target.terms.prepareSeconds * 1000
    ? { kind: 'Preparing', isOverdue: true }
    : undefined;
}

/** The driver has prepared it, under this assignment or one before. */
function isPrepared({ driver }: ItemFacts, { digest }: DesiredItem): boolean {
  const { given, said } = driver;
  return given?.digest === digest && said?.digest === digest && said.state === 'Prepared';
}

function activate(facts: ItemFacts, target: DesiredItem): ItemDecision {
  const { memory, now } = facts;
  const { release, digest } = target;
  const { preparing: _done, ...rest } = memory;
  const next: ItemFacts = {
    ...facts,
    memory: { ...rest, active: activeOf(target, now.toISOString()), activatingMs: 0 },
    driver: { ...facts.driver, hasActive: true, bringingBackMs: 0 },
  };
  return { ...runTarget(next, target), activated: { release, digest } };
}

function activeOf(target: DesiredItem, activatedTime?: string): ActiveRelease {
  const { release, digest, epoch, deadlineSeconds, terms } = target;
  return {
    release,
    digest,
    epoch,
    deadlineSeconds,
    attempt: terms.attempt,
    isProven: false,
    ...(activatedTime === undefined ? {} : { activatedTime }),
  };
}

function givenTarget(target: DesiredItem, may: { mayFetch: boolean; mayActivate: boolean }): Given {
  const { release, digest, epoch, deadlineSeconds } = target;
  return { release, digest, epoch, deadlineSeconds, ...may };
}

/** What was said of another release is no word on this one. */
function withGiven({ driver }: ItemFacts, given: Given | undefined): DriverView {
  const { given: _before, said, ...rest } = driver;
  return {
    ...rest,
    ...(given === undefined ? {} : { given }),
    ...(said === undefined || said.digest !== given?.digest ? {} : { said }),
  };
}

function wakeFor(waiting: Waiting | undefined): { wakeAt?: Date } {
  return waiting?.until === undefined ? {} : { wakeAt: new Date(waiting.until) };
}
