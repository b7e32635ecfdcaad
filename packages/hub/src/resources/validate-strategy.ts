import {
  durationHint,
  type FieldError,
  fieldInvalid,
  parseDuration,
  type RolloutStrategy,
  validateLabelSelector,
  type Wave,
} from '@selvedge/api';
import { counted } from '../rollout/counted.ts';

/** What is wrong with a duration, as a list of one or none. */
export function validateDuration(value: string | undefined, path: string): FieldError[] {
  if (value === undefined || parseDuration(value) !== undefined) return [];
  return [fieldInvalid(path, value, durationHint)];
}

/** A site that has to answer at once has failed before it could. */
const shortestDeadlineSeconds = 10;

function validateDeadline(value: string | undefined, path: string): FieldError[] {
  const seconds = parseDuration(value ?? '');
  if (value === undefined || seconds === undefined) return validateDuration(value, path);
  if (seconds >= shortestDeadlineSeconds) return [];
  return [fieldInvalid(path, value, `must be at least ${shortestDeadlineSeconds}s`)];
}

/** Beyond the schema: what the numbers of waves have to do with each other. */
export function validateStrategy(strategy: RolloutStrategy | undefined, path: string): FieldError[] {
  if (strategy === undefined) return [];
  return [
    ...validateWaves(strategy.waves, `${path}.waves`),
    ...validateDeadline(strategy.deadline, `${path}.deadline`),
    ...validateDeadline(strategy.prepare?.deadline, `${path}.prepare.deadline`),
  ];
}

function validateWaves(waves: readonly Wave[] | undefined, path: string): FieldError[] {
  if (waves === undefined) return [];
  const errors = waves.flatMap((wave, index) => validateWave(wave, `${path}[${index}]`));
  errors.push(...validateNames(waves, path));
  for (const unit of ['sites', 'percent'] as const) errors.push(...validateGrowth(waves, unit, path));
  const last = waves.at(-1);
  if (last !== undefined && last.percent !== 100) {
    errors.push(
      fieldInvalid(
        path,
        waves.map(reachOf).join(', '),
        'never reach every site: the last wave must have percent: 100',
      ),
    );
  }
  return errors;
}

function reachOf({ sites, percent, siteNames }: Wave): string {
  if (percent !== undefined) return `${percent}%`;
  if (sites !== undefined) return counted(sites, 'site');
  return siteNames === undefined ? 'selected sites' : counted(siteNames.length, 'named site');
}

function validateWave({ soak, minSample, maxConcurrent, siteSelector }: Wave, path: string): FieldError[] {
  const errors = validateDuration(soak, `${path}.soak`);
  for (const [field, part] of Object.entries({ minSample, maxConcurrent })) {
    if (typeof part === 'string' && Number.parseInt(part, 10) === 0) {
      errors.push(fieldInvalid(`${path}.${field}`, part, 'must be at least 1 site or 1%'));
    }
  }
  if (siteSelector !== undefined) errors.push(...validateLabelSelector(siteSelector, `${path}.siteSelector`));
  return errors;
}

/** A site is in one wave: one that names it again would wait for nobody. */
function validateNames(waves: readonly Wave[], path: string): FieldError[] {
  const waveOf = new Map<string, string>();
  const errors: FieldError[] = [];
  for (const [index, { name, siteNames }] of waves.entries()) {
    for (const site of siteNames ?? []) {
      const before = waveOf.get(site);
      if (before === undefined) waveOf.set(site, name);
      else errors.push(fieldInvalid(`${path}[${index}].siteNames`, site, `is in wave ${before} already`));
    }
  }
  return errors;
}

/** Each wave reaches more than those before; numbers and percentages are compared among themselves. */
function validateGrowth(waves: readonly Wave[], unit: 'sites' | 'percent', path: string): FieldError[] {
  const errors: FieldError[] = [];
  let reached = 0;
  for (const [index, wave] of waves.entries()) {
    const value = wave[unit];
    if (value === undefined) continue;
    if (value <= reached) {
      errors.push(
        fieldInvalid(`${path}[${index}].${unit}`, value, `must be more than the ${reached} of a wave before`),
      );
    }
    reached = Math.max(reached, value);
  }
  return errors;
}
