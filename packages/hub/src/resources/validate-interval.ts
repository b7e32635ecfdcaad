import { durationHint, type FieldError, fieldInvalid, parseDuration } from '@selvedge/api';

const leastIntervalSeconds = 10;

/** How often a source is looked at. */
export function validateInterval(interval: string | undefined, path: string): FieldError[] {
  if (interval === undefined) return [];
  const seconds = parseDuration(interval);
  if (seconds === undefined) return [fieldInvalid(path, interval, durationHint)];
  return seconds < leastIntervalSeconds ? [fieldInvalid(path, interval, 'must be at least 10s')] : [];
}
