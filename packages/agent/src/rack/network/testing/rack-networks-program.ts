/**
 * The rack's networks and boot server as a program of their own, to be run in a network namespace: orders come as lines of JSON on standard input, what is seen goes to standard output. `node rack-networks-program.ts
 * FOLDER`.
 */
import { writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Logger, MachineOrder, RackNetwork } from '@selvedge/api';
import { systemClock } from '@selvedge/api/node';
import { BootServer } from '../../boot/boot-server.ts';
import type { MachineDesk } from '../../boot/machine-desk.ts';
import { ScriptedDesk } from '../../boot/testing/scripted-desk.ts';
import { RackNetworks } from '../rack-networks.ts';

const [folder = ''] = process.argv.slice(2);
const tell = (what: object) => void process.stdout.write(`${JSON.stringify(what)}\n`);
const logger: Logger = {
  debug: () => {},
  info: () => {},
  warn: (log, fields) => tell({ log, ...fields, error: String(fields?.['error']) }),
  error: (log, fields) => tell({ log, ...fields, error: String(fields?.['error']) }),
  child: () => logger,
};

await mkdir(join(folder, 'loaders'), { recursive: true });
const files = {
  findBootFile: (architecture: string, name: string) => {
    const path = join(folder, 'loaders', `${architecture}-${name}`);
    writeFileSync(path, `${architecture} ${name}`);
    return Promise.resolve(path);
  },
  onChange: () => {},
};
const desk: MachineDesk = new ScriptedDesk({ onSeen: (seen) => tell({ seen }) });
const common = { desk, files, clock: systemClock, logger, monotonicMs: () => performance.now() };
const bootServer = new BootServer(common);
const networks = new RackNetworks({
  ...common,
  stateDir: join(folder, 'state'),
  runDir: join(folder, 'run'),
  bootServer,
});
networks.onChange(() => tell({ states: networks.states() }));

createInterface({ input: process.stdin }).on('line', (line) => {
  const order = JSON.parse(line) as { networks: RackNetwork[]; machines: MachineOrder[] };
  networks.setOrder(order.networks, order.machines);
});
process.once('SIGTERM', () => {
  void networks
    .close()
    .then(() => bootServer.close())
    .then(() => process.exit(0));
});
