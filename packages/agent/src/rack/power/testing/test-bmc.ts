import type { TestContext } from 'node:test';
import type { BmcOrder, BmcQuirkName, Logger, MachineIdentity } from '@selvedge/api';
import { ModelMachine, type RedfishEmulator, startRedfishEmulator } from '@selvedge/machine-lab';
import type { PowerDriver, PowerLogin } from '../power-driver.ts';
import { PowerQueues } from '../power-queues.ts';
import { RedfishDriver } from '../redfish/redfish-driver.ts';
import { HastyClock } from './hasty-clock.ts';

export interface TestBmcOptions {
  /** How the emulated BMC misbehaves. */
  readonly quirks?: readonly BmcQuirkName[];
  readonly manufacturer?: string;
  readonly firmware?: string;
  readonly systemId?: string;
  readonly bmc?: Partial<BmcOrder>;
  readonly login?: PowerLogin;
  /** Of the machine that the driver is to switch; default: nothing is known. */
  readonly identity?: MachineIdentity;
  /** For one call, in real time. */
  readonly timeoutMs?: number;
  readonly tls?: { readonly key: string; readonly certificate: string };
}

export interface TestBmc {
  readonly machine: ModelMachine;
  readonly emulator: RedfishEmulator;
  readonly driver: PowerDriver;
  readonly clock: HastyClock;
  readonly queues: PowerQueues;
  /** Messages and fields that were logged. */
  readonly log: string[];
  /** Another driver of the same rack for the same BMC. */
  readonly open: (options?: Pick<TestBmcOptions, 'bmc' | 'login' | 'timeoutMs' | 'identity'>) => PowerDriver;
}

export const testLogin = { username: 'root', password: 'correct horse' };

/** An emulated BMC with a model of a machine behind it, and the driver that talks to it; time is hasty for both. */
export async function startTestBmc(t: TestContext, options: TestBmcOptions = {}): Promise<TestBmc> {
  const clock = new HastyClock();
  const machine = new ModelMachine(
    options.manufacturer === undefined ? {} : { manufacturer: options.manufacturer },
  );
  const emulator = await startRedfishEmulator({
    systems: [{ machine, ...(options.systemId === undefined ? {} : { id: options.systemId }) }],
    ...testLogin,
    clock,
    ...(options.quirks ? { quirks: options.quirks } : {}),
    ...(options.firmware === undefined ? {} : { firmware: options.firmware }),
    ...(options.tls ? { tls: options.tls } : {}),
  });
  t.after(() => emulator.close());
  const queues = new PowerQueues({ clock });
  const log: string[] = [];
  const open: TestBmc['open'] = ({ bmc, login = testLogin, timeoutMs, identity } = {}) =>
    new RedfishDriver(
      {
        bmc: { type: 'Redfish', address: emulator.url, ...bmc },
        login,
        ...(identity ? { identity } : {}),
        macAddresses: machine.identity.macAddresses,
        broadcasts: [],
        clock,
        logger: listLogger(log),
      },
      queues,
      timeoutMs,
    );
  const driver = open(options);
  return { machine, emulator, driver, clock, queues, log, open };
}

export function listLogger(lines: string[]): Logger {
  const add = (message: string, fields?: object) =>
    void lines.push(`${message} ${JSON.stringify(fields ?? {})}`);
  return { debug: add, info: add, warn: add, error: add, child: () => listLogger(lines) };
}

export function never(): AbortSignal {
  return new AbortController().signal;
}
