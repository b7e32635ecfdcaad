import {
  durationHint,
  type FieldError,
  fieldInvalid,
  findScheduleFault,
  findWindowDurationFault,
  parseDuration,
  type SiteSpec,
} from '@selvedge/api';

/** Beyond the schema: whether the site will be able to make sense of its windows and blackouts. */
export function validateWindows({ windows, blackouts }: SiteSpec, path: string): FieldError[] {
  return [
    ...(windows?.download ?? []).flatMap((w, n) => validateWindow(w, `${path}.windows.download[${n}]`)),
    ...(windows?.activate ?? []).flatMap((w, n) => validateWindow(w, `${path}.windows.activate[${n}]`)),
    ...(blackouts ?? []).flatMap(({ from, to }, n) =>
      from <= to
        ? []
        : [fieldInvalid(`${path}.blackouts[${n}].to`, to, `must not be before from, which is ${from}`)],
    ),
  ];
}

function validateWindow(
  { schedule, duration }: { schedule: string; duration: string },
  path: string,
): FieldError[] {
  const errors: FieldError[] = [];
  const scheduleFault = findScheduleFault(schedule);
  if (scheduleFault !== undefined) errors.push(fieldInvalid(`${path}.schedule`, schedule, scheduleFault));
  const seconds = parseDuration(duration);
  const durationFault = seconds === undefined ? durationHint : findWindowDurationFault(seconds);
  if (durationFault !== undefined) errors.push(fieldInvalid(`${path}.duration`, duration, durationFault));
  return errors;
}
