import { writeFileSync } from 'node:fs';

/** What a run of tests came to. A skipped or failed suite counts as one when its tests were never reached. */
export interface Results {
  passed: number;
  failed: number;
  skipped: number;
  /** Names of what failed, and what was skipped with its reason, for the summary. */
  failures: string[];
  skips: { name: string; reason: string }[];
  /** What took how long, in seconds, in the order in which it ended. */
  times: { name: string; seconds: number }[];
}

export function emptyResults(): Results {
  return { passed: 0, failed: 0, skipped: 0, failures: [], skips: [], times: [] };
}

export function addResults(total: Results, part: Results): void {
  total.passed += part.passed;
  total.failed += part.failed;
  total.skipped += part.skipped;
  total.failures.push(...part.failures);
  total.skips.push(...part.skips);
  total.times.push(...part.times);
}

/** Prints skips with their reasons, what took how long, failures by name, and as the last line `N passed, N failed, N skipped`. */
export function printSummary(results: Results): void {
  console.log('');
  for (const skip of results.skips) console.log(`skipped: ${skip.name} (${skip.reason})`);
  const times = results.times.map(({ name, seconds }) => `${name} ${seconds.toFixed(0)} s`);
  if (times.length > 0) console.log(`took: ${times.join(', ')}`);
  for (const failure of results.failures) console.log(`failed: ${failure}`);
  console.log(`${results.passed} passed, ${results.failed} failed, ${results.skipped} skipped`);
}

/** For `.ci/run`, which adds up what several programs found. */
export function saveResults(results: Results, file: string | undefined): void {
  if (file !== undefined) writeFileSync(file, JSON.stringify(results));
}
