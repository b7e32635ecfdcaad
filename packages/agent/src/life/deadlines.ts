import type { DesiredItem } from '@selvedge/api';
import { countsNothing, type DriverView, isActive, type ItemFacts } from './item-facts.ts';
import { findBindingVerdict, type ItemMemory } from './item-memory.ts';
import { findDownloadWaiting } from './may-activate.ts';

/** While time is counted it is looked at this often, so that little is lost by a crash. */
export const countingMs = 15_000;

/** Adds the time that passed to the deadlines that ran meanwhile. */
export function count(facts: ItemFacts): ItemFacts {
  const { memory, driver, target, elapsedMs } = facts;
  if (elapsedMs <= 0) return facts;
  let next = memory;
  if (driver.counts.activating && memory.active !== undefined && !memory.active.isProven) {
    const longestMs = memory.active.deadlineSeconds * 1000;
    next = { ...next, activatingMs: Math.min(longestMs, memory.activatingMs + elapsedMs) };
  }
  if (driver.counts.preparing && target !== undefined && isPreparing(facts, target)) {
    next = { ...next, preparing: addPreparing(memory, target, elapsedMs) };
  }
  const isBringingBack = memory.active !== undefined && !driver.hasActive && facts.isLooking;
  const bringingBackMs = isBringingBack ? driver.bringingBackMs + elapsedMs : driver.bringingBackMs;
  return { ...facts, memory: next, driver: { ...driver, bringingBackMs } };
}

/** Only time in which the site could get on counts: no closed window, no hold, no dead link, no runtime that is away. */
export function countsOf({ memory, driver, target, ...facts }: ItemFacts): DriverView['counts'] {
  const { isLooking, isInContact, hold, policy, now } = facts;
  if (!isLooking) return countsNothing;
  const mayPrepare =
    target !== undefined &&
    isInContact &&
    hold === undefined &&
    findDownloadWaiting(target.terms, policy, now) === undefined;
  return {
    preparing: mayPrepare && isPreparing({ memory, driver, target, ...facts }, target),
    activating: memory.active !== undefined && !memory.active.isProven && driver.hasActive,
  };
}

function isPreparing(facts: ItemFacts, target: DesiredItem): boolean {
  if (isActive(target, facts.memory) || findBindingVerdict(facts.memory, target)) return false;
  if (!facts.hasContent(target.digest)) return true;
  const { given, said } = facts.driver;
  return given?.digest === target.digest && !(said?.digest === target.digest && said.state === 'Prepared');
}

function addPreparing(memory: ItemMemory, target: DesiredItem, elapsedMs: number) {
  const { digest, terms } = target;
  const spentMs = spentPreparing(memory, target) + elapsedMs;
  return { digest, attempt: terms.attempt, spentMs: Math.min(terms.prepareSeconds * 1000, spentMs) };
}

export function spentPreparing({ preparing }: ItemMemory, { digest, terms }: DesiredItem): number {
  return preparing?.digest === digest && preparing.attempt === terms.attempt ? preparing.spentMs : 0;
}

export function untilDeadline(memory: ItemMemory, counts: DriverView['counts']): number {
  if (!counts.activating || memory.active === undefined) return countingMs;
  const leftMs = memory.active.deadlineSeconds * 1000 - memory.activatingMs;
  return leftMs > 0 ? Math.min(countingMs, leftMs) : countingMs;
}
