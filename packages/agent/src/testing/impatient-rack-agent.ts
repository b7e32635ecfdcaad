/**
 * The agent with the role of a rack, for tests of faults: it waits for minutes where the product waits for a quarter of an hour.
 * `node impatient-rack-agent.ts --state DIR [--rack-boot-files DIR] [--rack-listen PORT] [--insecure-registry HOST:PORT] [--timings JSON]`, with SELVEDGE_TOKEN for its
 * first start.
 */
import { hostname } from 'node:os';
import { parseArgs } from 'node:util';
import { createLogger, systemClock } from '@selvedge/api/node';
import { runWithoutRuntime } from '../commands/run-without-runtime.ts';
import type { RackTimings } from '../rack/life/timings.ts';
import { noProxy } from '../hub-connection/proxy-settings.ts';

// The flags of `selvedge-agent run` that a lab gives; those that are not asked for here say what is so anyhow.
const { values } = parseArgs({
  strict: false,
  options: {
    state: { type: 'string' },
    'rack-boot-files': { type: 'string' },
    'rack-listen': { type: 'string' },
    'insecure-registry': { type: 'string' },
    timings: { type: 'string' },
  },
});
const token = process.env['SELVEDGE_TOKEN'];
const stop = new AbortController();
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stop.abort());
const stateDir = String(values.state);
const bootFilesDir = values['rack-boot-files'];
const port = values['rack-listen'];
const registry = values['insecure-registry'];

await runWithoutRuntime(
  {
    stateDir,
    ...(token === undefined ? {} : { token }),
    machine: { version: '0.1.0', hostname: hostname(), os: 'linux', architecture: process.arch },
    proxies: noProxy,
    depot: {
      directory: `${stateDir}/depot`,
      insecureRegistries: registry === undefined ? [] : [String(registry)],
    },
    rack: {
      allowLocalBmc: true,
      ...(bootFilesDir === undefined ? {} : { bootFilesDir: String(bootFilesDir) }),
      ...(port === undefined ? {} : { listen: { host: '127.0.0.1', port: Number(port) } }),
      timings: {
        bootSeconds: 60,
        systemSeconds: 60,
        taskSeconds: 60,
        confirmationSeconds: 120,
        retrySeconds: 3,
        powerPollSeconds: 2,
        gracefulOffSeconds: 15,
        askAgainSeconds: 3,
        ...(JSON.parse(String(values.timings ?? '{}')) as Partial<RackTimings>),
      },
    },
    clock: systemClock,
    logger: createLogger({ level: 'debug' }),
    longestWaitSeconds: 5,
  },
  stop.signal,
);
process.exit(0);
