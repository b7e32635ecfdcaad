import { type LabelSelector, matchesRequirements, requirementsOf } from '@selvedge/api';

/** Each requirement of the selector that these labels do not meet, in words, with what the site has instead. */
export function selectorMismatches(
  labels: Readonly<Record<string, string>> | undefined,
  selector: LabelSelector,
): { text: string; mend?: string }[] {
  return requirementsOf(selector)
    .filter((requirement) => !matchesRequirements(labels, [requirement]))
    .map(({ key, operator, values }) => {
      const value = labels?.[key];
      const has = value === undefined ? `it has no label ${key}` : `it has ${key}=${value}`;
      switch (operator) {
        case 'In': {
          const wanted =
            values.length === 1 ? `${key}=${values[0] ?? ''}` : `${key} in (${values.join(', ')})`;
          return { text: `wants ${wanted}; ${has}`, mend: `${key}=${values[0] ?? ''}` };
        }
        case 'Exists':
          return { text: `wants a label ${key}; ${has}` };
        case 'NotIn':
          return { text: `wants ${key} not in (${values.join(', ')}); ${has}` };
        case 'DoesNotExist':
          return { text: `wants no label ${key}; ${has}`, mend: `${key}-` };
        default:
          return { text: `wants ${key} ${operator} ${values.join(', ')}; ${has}` };
      }
    });
}
