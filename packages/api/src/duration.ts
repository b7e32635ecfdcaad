const secondsPerUnit = { d: 86_400, h: 3_600, m: 60, s: 1 } as const;
const pattern = /^(?=\d)(?:(?<d>\d{1,9})d)?(?:(?<h>\d{1,9})h)?(?:(?<m>\d{1,9})m)?(?:(?<s>\d{1,9})s)?$/;

/** Longer ones are slips of the pen, and would lead to dates that nothing can write. */
const longestSeconds = 36_500 * secondsPerUnit.d;

/** What a wrong duration is told. */
export const durationHint = 'must be a duration such as 90s, 15m, 1h30m, 168h or 7d, at most 36500d';

/**
 * Seconds of `90s`, `15m`, `1h30m`, `168h`, `7d`: whole numbers, big units first, at most 100 years.
 * `undefined` for anything else.
 */
export function parseDuration(text: string): number | undefined {
  const groups = pattern.exec(text)?.groups;
  if (!groups) return undefined;
  let seconds = 0;
  for (const unit of ['d', 'h', 'm', 's'] as const)
    seconds += Number(groups[unit] ?? 0) * secondsPerUnit[unit];
  return seconds > longestSeconds ? undefined : seconds;
}

/** The two biggest units, as people say it: `45s`, `3m20s`, `2h5m`, `9d`. */
export function formatDuration(seconds: number): string {
  let rest = Math.max(0, Math.floor(seconds));
  const parts: string[] = [];
  for (const unit of ['d', 'h', 'm', 's'] as const) {
    const count = Math.floor(rest / secondsPerUnit[unit]);
    rest -= count * secondsPerUnit[unit];
    if (count > 0) parts.push(`${count}${unit}`);
    else if (parts.length > 0) break;
    if (parts.length === 2) break;
  }
  return parts.join('') || '0s';
}
