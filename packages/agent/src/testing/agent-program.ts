/* An agent with a driver in memory as a process of its own, for tests that kill it: agent-program.ts STATE [TOKEN]. */
import { createLogger, systemClock } from '@selvedge/api/node';
import { runAgent } from '../agent.ts';
import { noProxy } from '../hub-connection/proxy-settings.ts';
import { MemoryDriver } from './memory-driver.ts';

const [, , stateDir = '', token] = process.argv;
const driver = new MemoryDriver();
const stop = new AbortController();
process.on('SIGTERM', () => stop.abort());
// Reports come all the time, so that there is always a write for a kill to meet.
const chatter = setInterval(() => {
  for (const { item } of driver.desired) {
    const { id, uid, epoch, release, digest } = item;
    const message = String(performance.now());
    driver.report({ id, uid, epoch, release, digest, state: 'Running', runningDigest: digest, message });
  }
}, 5);
await runAgent(
  {
    stateDir,
    ...(token === undefined ? {} : { token }),
    createDriver: () => driver,
    machine: { version: '0', hostname: 'test', os: 'test', architecture: 'test' },
    proxies: noProxy,
    clock: systemClock,
    logger: createLogger({ level: 'error' }),
  },
  stop.signal,
);
clearInterval(chatter);
