import type { Clock } from '@selvedge/api';
import { runCli } from './program/run-cli.ts';

const stop = new AbortController();
const isHub = process.argv[2] === 'hub';
// The hub ends itself in order; everything else just stops.
if (!isHub) {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
}
// A reader that has seen enough (`selvedge status | head`) is no fault.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));

/** The system's clock; the package that has it is loaded by the first sleep, not by `--help`. */
const clock: Clock = {
  now: () => new Date(),
  sleep: async (milliseconds, signal) => {
    const { systemClock } = await import('@selvedge/api/node');
    await systemClock.sleep(milliseconds, signal);
  },
};

process.exitCode = await runCli({
  args: process.argv.slice(2),
  env: process.env,
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  clock,
  signal: stop.signal,
});
