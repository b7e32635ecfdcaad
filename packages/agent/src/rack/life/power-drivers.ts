import {
  type BmcOrder,
  canonicalJson,
  type Clock,
  type Logger,
  type MachineIdentity,
  type MachineOrder,
} from '@selvedge/api';
import {
  type PowerAbilities,
  type PowerDriver,
  PowerError,
  type PowerLogin,
  type PowerOptions,
} from '../power/power-driver.ts';
import { noPower } from './plan-facts.ts';
import type { RackWishes } from './rack-wishes.ts';

/** Makes drivers: `openPower` with the queues of the rack. */
export type OpenPower = (options: PowerOptions) => PowerDriver;

interface OpenDriver {
  readonly text: string;
  readonly driver?: PowerDriver;
  /** Why there is none: the order makes no sense to it. */
  readonly error?: Error;
}

/** One driver for each machine that has a BMC, as its order and its login are now. */
export class PowerDrivers {
  readonly #o: { wishes: RackWishes; open: OpenPower; clock: Clock; logger: Logger };
  /** By uid. */
  readonly #drivers = new Map<string, OpenDriver>();

  constructor(options: { wishes: RackWishes; open: OpenPower; clock: Clock; logger: Logger }) {
    this.#o = options;
  }

  /** What can be done, also while the login has not come yet. */
  abilitiesOf(order: MachineOrder | undefined): PowerAbilities {
    if (order?.bmc === undefined || order.bmc.type === 'Manual') return noPower;
    return this.find(order)?.abilities ?? allPower;
  }

  /** Undefined: it has no BMC, the login of it is not here yet, or its address makes no sense. */
  find(order: MachineOrder): PowerDriver | undefined {
    return this.#open(order)?.driver;
  }

  /** Throws PowerError. */
  get(order: MachineOrder): PowerDriver {
    const open = this.#open(order);
    if (open?.driver !== undefined) return open.driver;
    if (open?.error instanceof Error) throw open.error;
    const message = `${order.bmc?.credentials ?? 'the login'} of its BMC has not come from the hub yet`;
    throw new PowerError('Unavailable', message, { isPassing: true });
  }

  #open({ uid, bmc, identity }: MachineOrder): OpenDriver | undefined {
    if (bmc === undefined) return undefined;
    const { wishes, open, clock, logger } = this.#o;
    const login = wishes.loginOf(bmc);
    if (login === undefined) return undefined;
    const macAddresses = identity.macAddresses ?? [];
    const broadcasts = wishes.networks.flatMap(({ address }) => broadcastOf(address) ?? []);
    const text = canonicalJson({ bmc, login, identity, macAddresses, broadcasts } satisfies DriverText);
    const known = this.#drivers.get(uid);
    if (known?.text === text) return known;
    this.#close(uid);
    const child = logger.child({ component: 'power', machine: uid });
    const opened = openSafely(text, () =>
      open({ bmc, login, identity, macAddresses, broadcasts, clock, logger: child }),
    );
    this.#drivers.set(uid, opened);
    return opened;
  }

  /** Closes those of machines that are not wanted any more. */
  retain(orders: readonly MachineOrder[]): void {
    const uids = new Set(orders.filter(({ bmc }) => bmc !== undefined).map(({ uid }) => uid));
    for (const uid of this.#drivers.keys()) if (!uids.has(uid)) this.#close(uid);
  }

  async close(): Promise<void> {
    const drivers = [...this.#drivers.values()];
    this.#drivers.clear();
    await Promise.allSettled(drivers.flatMap(({ driver }) => driver?.close() ?? []));
  }

  #close(uid: string): void {
    const open = this.#drivers.get(uid);
    if (open === undefined) return;
    this.#drivers.delete(uid);
    open.driver?.close().catch((error: unknown) => {
      this.#o.logger.debug('a BMC could not be left', { machine: uid, error });
    });
  }
}

interface DriverText {
  bmc: BmcOrder;
  login: PowerLogin;
  identity: MachineIdentity;
  macAddresses: readonly string[];
  broadcasts: readonly string[];
}

function openSafely(text: string, open: () => PowerDriver): OpenDriver {
  try {
    return { text, driver: open() };
  } catch (error) {
    return { text, error: error as Error };
  }
}

const allPower: PowerAbilities = { readsState: true, turnsOn: true, turnsOff: true, setsBoot: true };

/** Of `10.10.0.1/24`: `10.10.0.255`. */
function broadcastOf(address: string): string | undefined {
  const [, ip = '', bits = ''] = /^(\d+\.\d+\.\d+\.\d+)\/(\d+)$/.exec(address) ?? [];
  const length = Number(bits);
  if (ip === '' || length > 32) return undefined;
  const number = ip.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
  const hosts = 2 ** (32 - length);
  const last = Math.floor(number / hosts) * hosts + hosts - 1;
  return [24, 16, 8, 0].map((shift) => Math.floor(last / 2 ** shift) % 256).join('.');
}
