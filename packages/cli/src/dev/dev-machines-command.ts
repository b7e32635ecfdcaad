import { mkdir } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { type BootMode, quantityToNumber } from '@selvedge/api';
import type { HttpClient } from '@selvedge/kube';
import type { MachineNetwork, RedfishEmulator, VirtualMachine } from '@selvedge/machine-lab';
import { type ConnectOptions, connect } from '../program/connect.ts';
import { exitCode, UsageError } from '../program/exit-code.ts';
import type { Command, CommandContext } from '../program/terminal.ts';
import { renderTable } from '../render/table.ts';
import { type DevBmc, type DevBox, devBoxes, devManufacturer, devModel } from './dev-boxes.ts';
import { ensureBmcLogin, ensureDevMachine, ensureDevSite, nextSteps } from './dev-site.ts';

export interface DevMachinesOptions extends ConnectOptions {
  readonly count: number;
  readonly site: string;
  readonly data?: string;
  /** A bridge of this machine; absent: QEMU's own network. */
  readonly bridge?: string;
  readonly firmware: BootMode;
  /** MiB of each. */
  readonly memory: number;
  readonly disk: string;
  /** Of the rack's boot server on this machine; without `bridge`. */
  readonly rackPort: number;
  /** They are turned on, and nobody is told of them. */
  readonly discover?: boolean;
}

interface StartedBox {
  readonly box: DevBox;
  readonly machine: VirtualMachine;
  readonly bmc: RedfishEmulator;
}

/** `selvedge dev machines`: runs until the person ends it; then all boxes are off, their disks and Machines stay. */
export const devMachinesCommand: Command<DevMachinesOptions> = async (options, ctx) => {
  if (options.firmware === 'UEFI' && options.bridge === undefined) {
    throw new UsageError(
      "--firmware UEFI needs --bridge: QEMU's own network boots only boxes with BIOS from an address",
    );
  }
  const diskBytes = quantityToNumber(options.disk);
  if (diskBytes === undefined || diskBytes < 64 * 1024 * 1024) {
    throw new UsageError(`--disk ${options.disk} has to be a size from 64Mi on, as in 4Gi`);
  }
  await using hub = await connect(options, ctx.process);
  const { isNew, site } = await ensureDevSite(hub.client, options.site);
  if (isNew)
    ctx.print(`Site ${options.site} made: its rack answers on this machine, port ${options.rackPort}.`);
  const login = await ensureBmcLogin(hub.client, options.site);
  const started: StartedBox[] = [];
  const network = await makeNetwork(options, ctx);
  try {
    for (const box of devBoxes(options.site, options.count)) {
      started.push(await startBox(box, { options, network, login, diskBytes, ctx }));
    }
    await tellHub(hub.client, started, { options, secret: login.secret });
    printBoxes(started, options, ctx);
    for (const line of await nextSteps(hub.client, site, options.rackPort)) ctx.print(line);
    ctx.hint('Ctrl-C turns the boxes off; their disks and Machines stay for the next time.');
    await untilAborted(ctx.process.signal);
  } finally {
    for (const { machine, bmc } of started) {
      await bmc.close();
      await machine.close();
    }
    await network.close();
  }
  ctx.hint(
    `The boxes are off. To forget them: kubectl delete machines -l selvedge.dev/dev-machines=${options.site}, and remove ${dataOf(options, ctx)}.`,
  );
  return exitCode.ok;
};

async function makeNetwork(options: DevMachinesOptions, ctx: CommandContext): Promise<MachineNetwork> {
  const { BridgeNetwork, UserNetwork, userNetworkHost } = await import('@selvedge/machine-lab');
  const path = ctx.process.env['PATH'] ?? '';
  if (options.bridge === undefined) {
    return new UserNetwork(`http://${userNetworkHost}:${options.rackPort}/ipxe/boot.ipxe`);
  }
  return new BridgeNetwork({ bridge: options.bridge, prefix: 'svgdev', path });
}

async function startBox(
  box: DevBox,
  parts: {
    options: DevMachinesOptions;
    network: MachineNetwork;
    login: Awaited<ReturnType<typeof ensureBmcLogin>>;
    diskBytes: number;
    ctx: CommandContext;
  },
): Promise<StartedBox> {
  const { options, network, login, diskBytes, ctx } = parts;
  const { startRedfishEmulator, VirtualMachine } = await import('@selvedge/machine-lab');
  const folder = join(dataOf(options, ctx), box.name);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const machine = await VirtualMachine.create({
    folder,
    box: {
      uuid: box.uuid,
      serial: box.serial,
      manufacturer: devManufacturer,
      model: devModel,
      firmware: options.firmware,
      bootOrder: options.discover === true ? 'NetworkFirst' : 'DiskFirst',
      memoryMebibytes: options.memory,
    },
    disks: [{ sizeBytes: diskBytes, serial: `${box.serial}-0` }],
    macAddresses: [box.macAddress],
    network,
    path: ctx.process.env['PATH'] ?? '',
  });
  const bmc = await startRedfishEmulator({
    systems: [{ machine }],
    username: login.username,
    password: login.password,
    clock: ctx.process.clock,
    postMs: 1000,
  });
  machine.onPower((isOn) => ctx.print(`${box.name} is ${isOn ? 'on' : 'off'}`));
  return { box, machine, bmc };
}

async function tellHub(
  client: HttpClient,
  started: readonly StartedBox[],
  { options, secret }: { options: DevMachinesOptions; secret: DevBmc['secret'] },
): Promise<void> {
  for (const { box, machine, bmc } of started) {
    if (options.discover === true) {
      await machine.turnOn('Network');
      continue;
    }
    const wish = { site: options.site, firmware: options.firmware, bmc: { url: bmc.url, secret } };
    await ensureDevMachine(client, box, wish);
  }
}

function printBoxes(started: readonly StartedBox[], options: DevMachinesOptions, ctx: CommandContext): void {
  const rows = started.map(({ box, bmc, machine }) => [
    box.name,
    box.macAddress,
    box.serial,
    bmc.url,
    machine.serialLog,
  ]);
  ctx.print(renderTable(['NAME', 'MAC ADDRESS', 'SERIAL', 'BMC', 'CONSOLE'], rows, ctx.paint));
  if (options.discover === true) {
    ctx.print('They are on and ask the rack what to boot; accept them with selvedge machine accept NAME.');
  }
}

function dataOf({ data, site }: DevMachinesOptions, { process }: CommandContext): string {
  if (data !== undefined) return resolve(data);
  const state = process.env['XDG_STATE_HOME'] || join(process.env['HOME'] ?? homedir(), '.local/state');
  return join(state, 'selvedge/dev-machines', site);
}

function untilAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((done) => {
    signal.addEventListener('abort', () => done(), { once: true });
  });
}
