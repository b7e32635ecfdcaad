/**
 * `npm run check`: format, lint (types, promises, layers, cycles, file sizes), types, architecture and unit tests.
 * The one command before a push; needs nothing but the npm packages: unit tests whose program is missing are skipped, but not in CI, where it sets
 * the machine up first.
 */
import { parseArgs } from 'node:util';
import { prepareMachine } from './setup/prepare-machine.ts';
import { addResults, emptyResults, printSummary, saveResults } from './testing/results.ts';
import { runPhase } from './testing/run-phase.ts';
import { keepWhatIsCompiled, runStep, useRepositoryTools } from './testing/run-step.ts';
import { testPhases } from './testing/test-files.ts';

const { values } = parseArgs({ options: { results: { type: 'string' } } });
useRepositoryTools(process.env);
keepWhatIsCompiled(process.env);

if (process.env['CI']) for (const problem of await prepareMachine('test')) console.log(`   ${problem}`);
const total = emptyResults();
addResults(total, await runStep('format', ['biome', 'format', '.']));
addResults(total, await runStep('lint', ['oxlint', '--type-aware']));
addResults(total, await runStep('types', ['tsc', '-p', '.']));
for (const phase of testPhases().filter(({ name }) => name === 'architecture' || name === 'unit')) {
  addResults(total, await runPhase(phase, new AbortController().signal));
}
saveResults(total, values.results);
printSummary(total);
process.exitCode = total.failed === 0 ? 0 : 1;
