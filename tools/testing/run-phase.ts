import { relative } from 'node:path';
import { run } from 'node:test';
import { inspect, stripVTControlCharacters } from 'node:util';
import { emptyResults, type Results } from './results.ts';
import { type Phase, repositoryRoot } from './test-files.ts';

/** The fields of the events of node:test that matter here; its own types differ by event. */
interface EventData {
  name?: string;
  file?: string;
  nesting?: number;
  message?: string;
  skip?: string | boolean;
  todo?: string | boolean;
  details?: { type?: string; duration_ms?: number; error?: Error & { failureType?: string } };
}

/** Runs the files of a phase, each in a process of its own, and prints failures in full as they come. */
export async function runPhase(phase: Phase, signal: AbortSignal): Promise<Results> {
  const results = emptyResults();
  const started = performance.now();
  console.log(`\n== ${phase.name}: ${phase.files.length} files`);
  const waiting = [...phase.files];
  const worker = async () => {
    for (let file = waiting.shift(); file !== undefined && !signal.aborted; file = waiting.shift()) {
      await runFile(file, { signal, timeoutMinutes: phase.timeoutMinutes, results });
    }
  };
  await Promise.all(Array.from({ length: phase.concurrency }, worker));
  const seconds = (performance.now() - started) / 1000;
  results.times.push({ name: phase.name, seconds });
  const { passed, failed, skipped } = results;
  console.log(
    `   ${phase.name}: ${passed} passed, ${failed} failed, ${skipped} skipped in ${seconds.toFixed(1)} s`,
  );
  return results;
}

async function runFile(
  file: string,
  options: { signal: AbortSignal; timeoutMinutes: number; results: Results },
): Promise<void> {
  const { signal, timeoutMinutes, results } = options;
  const name = relative(repositoryRoot, file);
  const started = performance.now();
  // A test that hangs is ended by its own time-out; what it left open may keep the process alive for ever.
  const tooLong = AbortSignal.timeout((timeoutMinutes + 0.5) * 60_000);
  const events = run({
    files: [file],
    timeout: timeoutMinutes * 60_000,
    signal: AbortSignal.any([signal, tooLong]),
  });
  let output: string[] = [];
  let isFinished = false;
  for await (const event of events as AsyncIterable<{ type: string; data: EventData }>) {
    const { data } = event;
    if (event.type === 'test:summary' && data.file !== undefined) isFinished = true;
    if (event.type === 'test:stdout' || event.type === 'test:stderr') {
      output = [...output, data.message ?? ''].slice(-400);
    }
    // What a test measured; those of nesting 0 are node:test's own totals.
    if (event.type === 'test:diagnostic' && (data.nesting ?? 0) > 0) console.log(`     ${data.message}`);
    if (event.type === 'test:pass' || event.type === 'test:fail') {
      count(event.type === 'test:pass', data, results);
    }
  }
  console.log(`   ${name} (${((performance.now() - started) / 1000).toFixed(1)} s)`);
  if (isFinished) return;
  // node:test calls a file that ends by process.exit(0), or that holds no test, passed.
  const problem = tooLong.aborted
    ? `did not end within ${timeoutMinutes} minutes`
    : 'ended before all of its tests had run';
  fail(results, `${name}: ${problem}`);
  console.log(output.join(''));
}

function count(passed: boolean, data: EventData, results: Results): void {
  const isFile = data.nesting === 0 && data.name === data.file;
  const isSuite = data.details?.type === 'suite';
  if (isFile) return;
  const name = `${relative(repositoryRoot, data.file ?? '')}: ${data.name}`;
  const skip = data.skip ?? data.todo;
  if (skip !== undefined && skip !== false) {
    results.skipped += 1;
    results.skips.push({ name, reason: typeof skip === 'string' ? skip : 'no reason given' });
  } else if (!passed) {
    const failureType = data.details?.error?.failureType;
    // Such a suite, or test with subtests, only repeats a failure that is counted already.
    if (failureType !== 'subtestsFailed') fail(results, name, data.details?.error);
  } else if (!isSuite) {
    results.passed += 1;
  }
}

function fail(results: Results, name: string, error?: Error): void {
  results.failed += 1;
  results.failures.push(name);
  console.log(`\n-- FAILED ${name}`);
  if (error !== undefined) {
    const cause = error.cause instanceof Error ? error.cause : error;
    console.log(stripVTControlCharacters(inspect(cause, { depth: 6, maxStringLength: 20_000 })));
  }
}
