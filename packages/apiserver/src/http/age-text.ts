const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;
const year = 365 * day;

/** How long ago a time was, as kubectl prints ages (apimachinery `duration.HumanDuration`): `3m5s`, `2d4h`, `3y`. */
export function ageText(time: string, now: Date): string {
  const milliseconds = now.getTime() - Date.parse(time);
  if (Number.isNaN(milliseconds)) return '<invalid>';
  // A small difference of clocks is no reason to print nonsense.
  if (milliseconds < -2 * second) return '<invalid>';
  if (milliseconds < 2 * minute) return `${Math.max(0, Math.floor(milliseconds / second))}s`;
  if (milliseconds < 10 * minute) return twoUnits(milliseconds, [minute, 'm'], [second, 's']);
  if (milliseconds < 3 * hour) return `${Math.floor(milliseconds / minute)}m`;
  if (milliseconds < 8 * hour) return twoUnits(milliseconds, [hour, 'h'], [minute, 'm']);
  if (milliseconds < 2 * day) return `${Math.floor(milliseconds / hour)}h`;
  if (milliseconds < 8 * day) return twoUnits(milliseconds, [day, 'd'], [hour, 'h']);
  if (milliseconds < 2 * year) return `${Math.floor(milliseconds / day)}d`;
  if (milliseconds < 8 * year) return twoUnits(milliseconds, [year, 'y'], [day, 'd']);
  return `${Math.floor(milliseconds / year)}y`;
}

type Unit = readonly [length: number, letter: string];

function twoUnits(milliseconds: number, [big, bigLetter]: Unit, [small, smallLetter]: Unit): string {
  const rest = Math.floor((milliseconds % big) / small);
  const first = `${Math.floor(milliseconds / big)}${bigLetter}`;
  return rest === 0 ? first : `${first}${rest}${smallLetter}`;
}
