import { builtInScenarios } from './built-in-scenarios.ts';
import { clientScenarios } from './client-scenarios.ts';
import type { Step } from './comparison.ts';
import { ownershipScenarios } from './ownership-scenarios.ts';

/** Every fixed sequence of requests, by what it shows. */
export const scenarios: Readonly<Record<string, readonly Step[]>> = {
  ...ownershipScenarios,
  ...clientScenarios,
  ...builtInScenarios,
};
