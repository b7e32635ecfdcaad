import { formatDuration } from '../duration.ts';
import type { Blackout, SitePolicy, TimeWindow, WindowState } from '../sync/sync-protocol.ts';
import { findScheduleFault, readSchedule, type Schedule } from './schedule.ts';
import { instantOf, type ZoneClock, zoneClock } from './zone-clock.ts';

export { findScheduleFault } from './schedule.ts';

const millisecondsPerDay = 86_400_000;
/** Changes that are further away are not told. */
const horizonMilliseconds = 366 * millisecondsPerDay;

/** Shorter windows could be missed, longer ones are slips of the pen. */
const shortestWindowSeconds = 60;
const longestWindowSeconds = 31 * 86_400;

export type WindowKind = 'download' | 'activate';

/** What `windowState` found. */
export interface WindowOutlook extends WindowState {
  /** The blackout that is on (of `activate` only), and when it is over. */
  readonly blackout?: Blackout & { readonly endsAt: string };
  /** What of the policy could not be read. Then nothing is open. */
  readonly fault?: string;
}

/** True time, in milliseconds; the end is not part of it. */
interface Range {
  readonly start: number;
  readonly end: number;
}

/**
 * Whether something may happen at `now` by the windows and (for `activate`) the blackouts of the site, and when that changes
 * next; no `changesAt`: not within a year. Holds are no matter of this function. Where nothing limits the kind it is open,
 * whatever the time zone.
 *
 * A window opens when the wall clock of the site first shows the time, and stays open for its duration in true time. Where
 * clocks are set forward over the time, it opens at the instant of setting; where they are set back over it, only the first
 * time. Windows that overlap are one. A blackout begins with the first instant of its first day, and ends with the last of its
 * last day.
 *
 * Cheap to ask again with the same `policy` object: what was found holds until it changes.
 */
export function windowState(policy: SitePolicy, kind: WindowKind, now: Date): WindowOutlook {
  const at = now.getTime();
  let found = findings.get(policy);
  if (!found) {
    found = {};
    findings.set(policy, found);
  }
  const last = found[kind];
  if (last && last.holdsFrom <= at && at < last.holdsUntil) return last.outlook;
  const finding = evaluate(policy, kind, at);
  found[kind] = finding;
  return finding.outlook;
}

/** What is wrong with a window's duration, for people; `undefined`: nothing. */
export function findWindowDurationFault(seconds: number): string | undefined {
  if (seconds >= shortestWindowSeconds && seconds <= longestWindowSeconds) return undefined;
  return `must be from ${formatDuration(shortestWindowSeconds)} to ${formatDuration(longestWindowSeconds)}`;
}

interface Finding {
  readonly outlook: WindowOutlook;
  readonly holdsFrom: number;
  readonly holdsUntil: number;
}

const findings = new WeakMap<SitePolicy, { [kind in WindowKind]?: Finding }>();

function evaluate(policy: SitePolicy, kind: WindowKind, now: number): Finding {
  const finding = (outlook: WindowOutlook, changes: readonly number[]): Finding => ({
    outlook,
    holdsFrom: now,
    // What was too far away to be told comes nearer.
    holdsUntil: Math.min(now + millisecondsPerDay, ...changes),
  });
  // Most sites have no windows: they need no time zone, which costs an agent 8 MiB.
  if (isAlwaysOpen(policy, kind)) return finding({ isOpen: true }, []);
  const fault = findFault(policy, kind);
  if (fault !== undefined) return finding({ isOpen: false, fault }, []);

  const clock = zoneClock(policy.timeZone);
  const blackouts = kind === 'activate' ? blackoutRanges(policy.blackouts ?? [], clock) : [];
  const on = blackouts.find(({ start, end }) => start <= now && now < end);
  const until = now + horizonMilliseconds;
  const { isOpen, changesAt } = stateIn((from) => openRanges(policy, kind, { from, until }), blackouts, now);
  const outlook: WindowOutlook = {
    isOpen,
    ...(changesAt === undefined ? {} : { changesAt: timeText(changesAt) }),
    ...(on === undefined ? {} : { blackout: { ...on.blackout, endsAt: timeText(on.end) } }),
  };
  const changes = blackouts.flatMap(({ start, end }) => [start, end]).filter((change) => change > now);
  return finding(outlook, changesAt === undefined ? changes : [changesAt, ...changes]);
}

/** `openFrom`: when windows are open, from those that may be open at an instant on. */
function stateIn(
  openFrom: (instant: number) => Iterable<Range>,
  blackouts: readonly Range[],
  now: number,
): { isOpen: boolean; changesAt?: number } {
  let from: number | undefined = now;
  while (from !== undefined) {
    const looksFrom: number = from;
    from = undefined;
    for (const range of openFrom(looksFrom)) {
      let { start } = range;
      for (const closed of blackouts) {
        if (closed.end <= start) continue;
        if (closed.start >= range.end) break;
        if (now < closed.start && start < closed.start) return stateOf({ start, end: closed.start }, now);
        start = closed.end;
      }
      if (start < range.end && now < range.end) return stateOf({ start, end: range.end }, now);
      if (start > range.end && start > looksFrom) {
        // A blackout of months may hide many thousand windows: none of them is looked at.
        from = start;
        break;
      }
    }
  }
  return { isOpen: false };
}

/** Of the first range that is not over. */
function stateOf({ start, end }: Range, now: number): { isOpen: boolean; changesAt?: number } {
  const isOpen = start <= now;
  const changesAt = isOpen ? end : start;
  return changesAt > now + horizonMilliseconds ? { isOpen } : { isOpen, changesAt };
}

/** When windows are open, merged, ascending, from those that may be open at `from` to those that begin by `until`. */
function* openRanges(
  policy: SitePolicy,
  kind: WindowKind,
  { from, until }: { from: number; until: number },
): Generator<Range> {
  const windows = windowsOf(policy, kind);
  if (windows.length === 0) {
    yield { start: Number.NEGATIVE_INFINITY, end: Number.POSITIVE_INFINITY };
    return;
  }
  const clock = zoneClock(policy.timeZone);
  const read = windows.map((window): ReadWindow => {
    const schedule = readSchedule(window.schedule);
    const duration = window.durationSeconds * 1000;
    const firstDay = dayOf(from - duration + clock.offsetAt(from)) - millisecondsPerDay;
    return { schedule, duration, blocks: blocksOf(schedule, duration), nextDay: schedule.findDay(firstDay) };
  });
  let current: Range | undefined;
  while (true) {
    const day = Math.min(...read.map(({ nextDay }) => nextDay ?? Number.POSITIVE_INFINITY));
    // A day further, for zones where it comes early.
    if (day > until + millisecondsPerDay) break;
    for (const range of rangesOfDay(read, day, clock)) {
      if (!current) current = range;
      else if (range.start <= current.end)
        current = { start: current.start, end: Math.max(current.end, range.end) };
      else {
        yield current;
        current = range;
      }
    }
    for (const window of read) {
      if (window.nextDay === day) window.nextDay = window.schedule.findDay(day + millisecondsPerDay);
    }
  }
  if (current) yield current;
}

interface ReadWindow {
  readonly schedule: Schedule;
  readonly duration: number;
  /** Of a day on which the clock is not set, in milliseconds of wall time since midnight. */
  readonly blocks: readonly Range[];
  /** The next day that matches and was not looked at. */
  nextDay: number | undefined;
}

/** Ranges of all windows that start on the day, by start. */
function rangesOfDay(windows: readonly ReadWindow[], day: number, clock: ZoneClock): Range[] {
  const map = clock.around(day);
  const ranges = windows
    .filter(({ nextDay }) => nextDay === day)
    .flatMap(({ schedule, duration, blocks }) => {
      if (map.changesAt === undefined) {
        const midnight = day - map.offsetBefore;
        return blocks.map(({ start, end }) => ({ start: midnight + start, end: midnight + end }));
      }
      return schedule.minutes.map((minute) => {
        const start = instantOf(day + minute * 60_000, map);
        return { start, end: start + duration };
      });
    });
  return ranges.sort((a, b) => a.start - b.start);
}

/** So that an expression with many starts costs no more than one with few. */
function blocksOf({ minutes }: Schedule, duration: number): Range[] {
  const blocks: { start: number; end: number }[] = [];
  for (const minute of minutes) {
    const start = minute * 60_000;
    const last = blocks.at(-1);
    if (last && start <= last.end) last.end = start + duration;
    else blocks.push({ start, end: start + duration });
  }
  return blocks;
}

/** Days off, by their beginning, those that overlap merged (the reason of the first stays). */
function blackoutRanges(
  blackouts: readonly Blackout[],
  clock: ZoneClock,
): (Range & { readonly blackout: Blackout })[] {
  const instantOfMidnight = (day: number) => instantOf(day, clock.around(day));
  const ranges = blackouts
    .map((blackout) => ({
      blackout,
      start: instantOfMidnight(Date.parse(blackout.from)),
      end: instantOfMidnight(Date.parse(blackout.to) + millisecondsPerDay),
    }))
    .filter(({ start, end }) => start < end)
    .sort((a, b) => a.start - b.start);
  const merged: { blackout: Blackout; start: number; end: number }[] = [];
  for (const range of ranges) {
    const last = merged.at(-1);
    if (last && range.start <= last.end) last.end = Math.max(last.end, range.end);
    else merged.push({ ...range });
  }
  return merged;
}

/** The hub lets no such policy in; one that a newer hub lets in must not open what it does not mean to. */
function findFault(policy: SitePolicy, kind: WindowKind): string | undefined {
  try {
    zoneClock(policy.timeZone);
  } catch {
    return `time zone ${policy.timeZone} is not known here`;
  }
  for (const { schedule, durationSeconds } of windowsOf(policy, kind)) {
    const fault = findScheduleFault(schedule);
    if (fault !== undefined) return `schedule "${schedule}" ${fault}`;
    if (!(durationSeconds > 0)) return `duration ${durationSeconds} of "${schedule}" is none`;
  }
  const days = kind === 'activate' ? (policy.blackouts ?? []).flatMap(({ from, to }) => [from, to]) : [];
  const wrong = days.find((day) => !/^\d{4}-\d\d-\d\d$/.test(day) || Number.isNaN(Date.parse(day)));
  return wrong === undefined ? undefined : `blackout day "${wrong}" is no date`;
}

function windowsOf(policy: SitePolicy, kind: WindowKind): readonly TimeWindow[] {
  return (kind === 'download' ? policy.downloadWindows : policy.activateWindows) ?? [];
}

function isAlwaysOpen(policy: SitePolicy, kind: WindowKind): boolean {
  return (
    windowsOf(policy, kind).length === 0 && (kind === 'download' || (policy.blackouts ?? []).length === 0)
  );
}

function dayOf(wall: number): number {
  return Math.floor(wall / millisecondsPerDay) * millisecondsPerDay;
}

function timeText(instant: number): string {
  return new Date(instant).toISOString().replace('.000Z', 'Z');
}
