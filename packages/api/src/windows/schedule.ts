import { Cron } from 'croner';

const millisecondsPerDay = 86_400_000;

/** A cron expression taken apart: at which minutes of a day, and on which days, in wall time. */
export interface Schedule {
  /** Minutes since midnight, ascending; at least one. */
  readonly minutes: readonly number[];
  /**
   * The first day that matches, not before `day`. Days are the milliseconds of their midnight as if the wall clock were UTC.
   * `undefined`: none within the years that cron expressions look ahead.
   */
  findDay(day: number): number | undefined;
}

/** Many sites share a few schedules, and reading one costs more than asking it. */
const known = new Map<string, Schedule>();
const maxKnown = 500;

/** Throws an Error that says what is wrong with the expression. */
export function readSchedule(text: string): Schedule {
  const found = known.get(text);
  if (found) return found;
  const schedule = parse(text);
  if (known.size >= maxKnown) known.clear();
  known.set(text, schedule);
  return schedule;
}

/** What is wrong with a cron expression, for people; `undefined`: nothing. */
export function findScheduleFault(text: string): string | undefined {
  try {
    readSchedule(text);
    return undefined;
  } catch (error) {
    const detail = (error as Error).message.replace(/^CronPattern: /, '');
    return `must be a cron expression of five fields (minute hour day month weekday), as in "0 22 * * 1-5": ${detail}`;
  }
}

/**
 * Croner reads the fields and the calendar, in a UTC that stands for the wall clock. Its own handling of time zones is not
 * used: it skips the times of some expressions when clocks go forward, and repeats others when they go back.
 */
function parse(text: string): Schedule {
  const fields = text.trim().split(/\s+/);
  const [minute = '', hour = '', ...days] = fields;
  if (fields.length !== 5) throw new Error(`it has ${fields.length} fields`);
  // To croner it stands for the moment at which the expression is read.
  if (text.includes('?')) throw new Error("'?' has no meaning here, write '*'");
  cron(text);
  const minutes = valuesOf(`${minute} 0 * * *`).map((ms) => ms / 60_000);
  const hours = valuesOf(`0 ${hour} * * *`).map((ms) => ms / 3_600_000);
  const onDays = cron(`0 0 ${days.join(' ')}`);
  const isDaily = days.every((field) => field === '*');
  const findDay = (day: number) => (isDaily ? day : onDays.nextRun(new Date(day - 1000))?.getTime());
  if (findDay(firstDay) === undefined) throw new Error('no such day ever comes');
  return { minutes: hours.flatMap((h) => minutes.map((m) => h * 60 + m)), findDay };
}

const firstDay = Date.UTC(2024, 0, 1);

function cron(text: string): Cron {
  // UTC by its offset: by its name, Croner would load the time zones of the engine (8 MiB).
  return new Cron(text, { mode: '5-part', utcOffset: 0, paused: true });
}

/** Times of one day at which the expression matches, in milliseconds since its midnight. */
function valuesOf(text: string): number[] {
  const matches = cron(text);
  const values: number[] = [];
  let next = matches.nextRun(new Date(firstDay - 1000));
  while (next && next.getTime() < firstDay + millisecondsPerDay) {
    values.push(next.getTime() - firstDay);
    next = matches.nextRun(next);
  }
  return values;
}
