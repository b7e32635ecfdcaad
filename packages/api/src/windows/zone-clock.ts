const millisecondsPerHour = 3_600_000;

/** How the wall clock of a zone and true time belong together around one day. Wall times are written as if they were UTC. */
export interface DayMap {
  /** Both the same and `changesAt` absent: the clock is not set around this day. */
  readonly offsetBefore: number;
  readonly offsetAfter: number;
  /** First instant of `offsetAfter`. */
  readonly changesAt?: number;
}

const clocks = new Map<string, ZoneClock>();
const maxClocks = 100;

/** Throws a RangeError when there is no such time zone. */
export function zoneClock(timeZone: string): ZoneClock {
  const found = clocks.get(timeZone);
  if (found) return found;
  const clock = new ZoneClock(timeZone);
  if (clocks.size >= maxClocks) clocks.clear();
  clocks.set(timeZone, clock);
  return clock;
}

/** The wall clock of a time zone. Instants and wall times are milliseconds. */
export class ZoneClock {
  /** Absent for UTC: the first formatter of a process costs it 8 MiB of time zones and languages. */
  readonly #format: Intl.DateTimeFormat | undefined;

  constructor(timeZone: string) {
    if (timeZone === 'UTC') return;
    this.#format = new Intl.DateTimeFormat('en-US', { timeZone, timeZoneName: 'longOffset' });
  }

  /** Wall time minus true time. */
  offsetAt(instant: number): number {
    if (this.#format === undefined) return 0;
    const [, sign, hours = 0, minutes = 0, seconds = 0] =
      /GMT(?:([+-])(\d\d):(\d\d)(?::(\d\d))?)?$/.exec(this.#format.format(instant)) ?? [];
    const size = ((Number(hours) * 60 + Number(minutes)) * 60 + Number(seconds)) * 1000;
    return sign === '-' ? -size : size;
  }

  /** Of the wall day that begins at `day`. Clocks are set at most once in its surroundings: so it is everywhere. */
  around(day: number): DayMap {
    // No zone is further than 14 hours before UTC, or 12 behind.
    let earliest = day - 15 * millisecondsPerHour;
    let latest = day + (24 + 13) * millisecondsPerHour;
    const offsetBefore = this.offsetAt(earliest);
    const offsetAfter = this.offsetAt(latest);
    if (offsetBefore === offsetAfter) return { offsetBefore, offsetAfter };
    while (latest - earliest > 1) {
      const middle = Math.floor((earliest + latest) / 2);
      if (this.offsetAt(middle) === offsetBefore) earliest = middle;
      else latest = middle;
    }
    return { offsetBefore, offsetAfter, changesAt: latest };
  }
}

/** When the wall clock shows `wall` for the first time; if it never does, the first instant at which it shows more. */
export function instantOf(wall: number, { offsetBefore, offsetAfter, changesAt }: DayMap): number {
  const before = wall - offsetBefore;
  if (changesAt === undefined || before < changesAt) return before;
  return Math.max(wall - offsetAfter, changesAt);
}
