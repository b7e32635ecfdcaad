import type { SitePolicy } from '../../sync/sync-protocol.ts';

const minuteMilliseconds = 60_000;
const dayMilliseconds = 86_400_000;

/** A cron expression, and by itself what it means. */
export interface ModelSchedule {
  readonly text: string;
  readonly minutes: ReadonlySet<number>;
  readonly hours: ReadonlySet<number>;
  /** Of the wall date, written as if it were UTC. */
  readonly isOnDay: (date: Date) => boolean;
}

export interface ModelWindow {
  readonly schedule: ModelSchedule;
  readonly durationSeconds: number;
}

/**
 * Windows as a person with a wall clock, a calendar and much patience would keep them: looks at the clock every minute of true
 * time. Opens what begins at a time that the clock shows now and never showed before, or jumped over just now.
 */
export class MinuteModel {
  readonly #from: number;
  readonly #isOpen: boolean[] = [];

  constructor(
    policy: SitePolicy,
    windows: readonly ModelWindow[],
    range: { readonly from: number; readonly to: number },
  ) {
    this.#from = range.from;
    const walls = wallTimes(policy.timeZone, range);
    let shown = (walls[0] ?? 0) - minuteMilliseconds;
    const openUntil = windows.map(() => Number.NEGATIVE_INFINITY);
    for (const [index, wall] of walls.entries()) {
      const instant = range.from + index * minuteMilliseconds;
      for (let time = shown + minuteMilliseconds; time <= wall; time += minuteMilliseconds) {
        for (const [n, window] of windows.entries()) {
          if (!begins(window.schedule, new Date(time))) continue;
          openUntil[n] = instant + window.durationSeconds * 1000;
        }
      }
      shown = Math.max(shown, wall);
      const date = new Date(wall).toISOString().slice(0, 10);
      const isBlackout = (policy.blackouts ?? []).some(({ from, to }) => from <= date && date <= to);
      const isInWindow = windows.length === 0 || openUntil.some((until) => instant < until);
      this.#isOpen.push(isInWindow && !isBlackout);
    }
  }

  isOpenAt(instant: number): boolean | undefined {
    return this.#isOpen[Math.floor((instant - this.#from) / minuteMilliseconds)];
  }

  /** First minute after `instant` at which it is otherwise; `undefined`: none in the range of the model. */
  findChange(instant: number): number | undefined {
    const first = Math.floor((instant - this.#from) / minuteMilliseconds);
    const found = this.#isOpen.findIndex((isOpen, n) => n > first && isOpen !== this.#isOpen[first]);
    return found < 0 ? undefined : this.#from + found * minuteMilliseconds;
  }
}

function begins({ minutes, hours, isOnDay }: ModelSchedule, wall: Date): boolean {
  return hours.has(wall.getUTCHours()) && minutes.has(wall.getUTCMinutes()) && isOnDay(wall);
}

const known = new Map<string, number[]>();

/** What a wall clock shows at each minute, as if it were UTC. */
function wallTimes(timeZone: string, { from, to }: { from: number; to: number }): number[] {
  const key = `${timeZone} ${from} ${to}`;
  const found = known.get(key);
  if (found) return found;
  const format = new Intl.DateTimeFormat('sv-SE', {
    timeZone,
    dateStyle: 'short',
    timeStyle: 'medium',
  });
  const walls: number[] = [];
  for (let instant = from; instant < to; instant += minuteMilliseconds)
    walls.push(Date.parse(`${format.format(instant).replace(' ', 'T')}Z`));
  known.set(key, walls);
  return walls;
}

export { dayMilliseconds };
