/**
 * `npm test`: sets the machine up and runs every test: architecture, unit, scenarios, PostgreSQL, Kubernetes, Podman, machines, end to end. A test whose tool is
 * missing is skipped with the reason; where CI is set that is a failure.
 *
 *   npm test -- [PHASE …] [--match TEXT] [--results FILE]
 *
 * PHASE is architecture, unit, scenarios, conformance (needs KUBEBUILDER_ASSETS), postgres, kubernetes, podman,
 * machines, e2e or slow (real Debian; runs only when it is named); TEXT picks the files whose path holds it.
 */
import { parseArgs } from 'node:util';
import { prepareMachine } from './setup/prepare-machine.ts';
import { addResults, emptyResults, printSummary, saveResults } from './testing/results.ts';
import { runPhase } from './testing/run-phase.ts';
import { keepWhatIsCompiled, useRepositoryTools } from './testing/run-step.ts';
import { testPhases } from './testing/test-files.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { results: { type: 'string' }, match: { type: 'string' } },
});
useRepositoryTools(process.env);
keepWhatIsCompiled(process.env);

const allPhases = testPhases();
const unknown = positionals.filter((name) => !allPhases.some((phase) => phase.name === name));
if (unknown.length > 0) {
  console.error(
    `unknown phase ${unknown.join(', ')}; there are ${allPhases.map(({ name }) => name).join(', ')}`,
  );
  process.exit(2);
}
const phases = allPhases
  .filter(({ name, isOnRequest }) =>
    positionals.length === 0 ? isOnRequest !== true : positionals.includes(name),
  )
  .map((phase) => ({ ...phase, files: phase.files.filter((file) => file.includes(values.match ?? '')) }))
  .filter(({ files }) => files.length > 0);

const interrupted = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interrupted.abort());

if (phases.some(({ name }) => name !== 'architecture')) {
  for (const problem of await prepareMachine('test')) console.log(`   ${problem}`);
}
const total = emptyResults();
await Promise.all(
  Object.values(Object.groupBy(phases, ({ lane }) => lane)).map(async (lane) => {
    for (const phase of lane) {
      if (interrupted.signal.aborted) break;
      addResults(total, await runPhase(phase, interrupted.signal));
    }
  }),
);
if (interrupted.signal.aborted) {
  total.failed += 1;
  total.failures.push('the run was interrupted');
}
if (total.passed + total.failed + total.skipped === 0) {
  total.failed += 1;
  total.failures.push('no test file matches');
}
saveResults(total, values.results);
printSummary(total);
process.exitCode = total.failed === 0 ? 0 : 1;
