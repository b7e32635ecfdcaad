/* An agent that is a rack and nothing else, as a process of its own, for tests that kill it: rack-agent-program.ts STATE TOKEN PORT BOOT-FILES REGISTRY. */
import { join } from 'node:path';
import { createLogger, systemClock } from '@selvedge/api/node';
import { runAgent } from '../agent.ts';
import { NoRuntimeDriver } from '../drivers/none/no-runtime-driver.ts';
import { noProxy } from '../hub-connection/proxy-settings.ts';

const [, , stateDir = '', token = '', port = '0', bootFilesDir = '', registry = ''] = process.argv;
const stop = new AbortController();
process.on('SIGTERM', () => stop.abort());
await runAgent(
  {
    stateDir,
    token,
    createDriver: () => new NoRuntimeDriver(systemClock),
    machine: { version: '0', hostname: 'test', os: 'test', architecture: 'test' },
    proxies: noProxy,
    depot: { directory: join(stateDir, 'depot'), insecureRegistries: [registry], reserveBytes: 0 },
    rack: { listen: { host: '127.0.0.1', port: Number(port) }, bootFilesDir },
    clock: systemClock,
    logger: createLogger({ level: 'error' }),
  },
  stop.signal,
);
