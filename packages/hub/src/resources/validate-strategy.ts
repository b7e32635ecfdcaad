import {
  durationHint,
  type FieldError,
  fieldInvalid,
  parseDuration,
  type RolloutStrategy,
  type Wave,
} from '@selvedge/api';
import { counted } from '../rollout/counted.ts';

/** What is wrong with a duration, as a list of one or none. */
export function validateDuration(value: string | undefined, path: string): FieldError[] {
  if (value === undefined || parseDuration(value) !== undefined) return [];
  return [fieldInvalid(path, value, durationHint)];
}

/** Beyond the schema: what the numbers of waves have to do with each other. */
export function validateStrategy(strategy: RolloutStrategy | undefined, path: string): FieldError[] {
  if (strategy === undefined) return [];
  return [
    ...validateWaves(strategy.waves, `${path}.waves`),
    ...validateDuration(strategy.deadline, `${path}.deadline`),
  ];
}

function validateWaves(waves: readonly Wave[] | undefined, path: string): FieldError[] {
  if (waves === undefined) return [];
  const errors = waves.flatMap(({ soak }, index) => validateDuration(soak, `${path}[${index}].soak`));
  for (const unit of ['sites', 'percent'] as const) errors.push(...validateGrowth(waves, unit, path));
  const last = waves.at(-1);
  if (last !== undefined && last.percent !== 100) {
    errors.push(
      fieldInvalid(
        path,
        waves
          .map(({ sites, percent }) => (percent === undefined ? counted(sites ?? 0, 'site') : `${percent}%`))
          .join(', '),
        'never reach every site: the last wave must have percent: 100',
      ),
    );
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
