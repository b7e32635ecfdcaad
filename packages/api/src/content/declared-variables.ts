import type { ReleaseVariable } from '../rules/delivery-rules.ts';
import type { VariableValue } from '../variables.ts';

/** What a site says of itself, as far as variables go by it. */
export interface SiteValues {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly variables: Readonly<Record<string, VariableValue>>;
}

/** Values at one site of what the application declares: the first place that has one, else the default. What is found nowhere is not among them. */
export function declaredValues(
  declared: readonly ReleaseVariable[],
  site: SiteValues,
): Record<string, VariableValue> {
  const values: [string, VariableValue][] = [];
  for (const variable of declared) {
    const value = findValue(variable, site);
    if (value !== undefined) values.push([variable.name, value]);
  }
  return Object.fromEntries(values);
}

function findValue(variable: ReleaseVariable, site: SiteValues): VariableValue | undefined {
  for (const place of variable.from ?? [{ siteVariable: variable.name }]) {
    const value = valueAt(place, site);
    if (value !== undefined) return value;
  }
  return variable.default;
}

function valueAt(
  place: NonNullable<ReleaseVariable['from']>[number],
  { name, labels, variables }: SiteValues,
): VariableValue | undefined {
  if ('value' in place) return place.value;
  if ('bySite' in place) return ownOf(place.bySite, name);
  if ('siteLabel' in place) return ownOf(labels, place.siteLabel);
  return ownOf(variables, place.siteVariable);
}

function ownOf<T>(values: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(values, name) ? values[name] : undefined;
}
