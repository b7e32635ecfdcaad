/** How long ago, in as many digits as matter, as kubectl writes ages: 5s, 3m20s, 2d. */
export function formatAge(seconds: number): string {
  const s = Math.max(0, Math.floor(seconds));
  const minutes = Math.floor(s / 60);
  const hours = Math.floor(s / 3600);
  const days = Math.floor(s / 86_400);
  const years = Math.floor(days / 365);
  const pair = (big: string, small: number, unit: string) => (small === 0 ? big : `${big}${small}${unit}`);
  if (s < 120) return `${s}s`;
  if (minutes < 10) return pair(`${minutes}m`, s % 60, 's');
  if (minutes < 180) return `${minutes}m`;
  if (hours < 8) return pair(`${hours}h`, minutes % 60, 'm');
  if (hours < 48) return `${hours}h`;
  if (days < 8) return pair(`${days}d`, hours % 24, 'h');
  if (days < 730) return `${days}d`;
  if (years < 8) return pair(`${years}y`, days % 365, 'd');
  return `${years}y`;
}

export function secondsSince(time: string, now: Date): number {
  return (now.getTime() - Date.parse(time)) / 1000;
}

/** `3m20s ago`; a time that is not known says so. */
export function formatAgo(time: string | undefined, now: Date): string {
  if (time === undefined) return 'never';
  const seconds = secondsSince(time, now);
  return Number.isNaN(seconds) ? 'at an unknown time' : `${formatAge(seconds)} ago`;
}
