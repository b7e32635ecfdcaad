/**
 * The end of `.ci/run`: adds up the results that `npm run check` and `npm test` left in files. A program that left
 * none has crashed, which counts as a failure. Last line: `N passed, N failed, N skipped`.
 */
import { existsSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { addResults, emptyResults, printSummary, type Results } from './testing/results.ts';

const total = emptyResults();
for (const file of process.argv.slice(2)) {
  if (existsSync(file)) {
    addResults(total, JSON.parse(readFileSync(file, 'utf8')) as Results);
  } else {
    total.failed += 1;
    total.failures.push(`${basename(file, '.json')} ended without results: it crashed or ran out of time`);
  }
}
printSummary(total);
process.exitCode = total.failed === 0 ? 0 : 1;
