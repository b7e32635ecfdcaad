import { type JsonObject, type PowerState, printable } from '@selvedge/api';
import { BmcHttp } from '../bmc-http.ts';
import {
  type BmcIdentity,
  type BootSetting,
  type PowerAbilities,
  type PowerAction,
  type PowerDriver,
  PowerError,
  type PowerOptions,
} from '../power-driver.ts';
import { loginKey } from '../login-key.ts';
import { contradictionOf } from '../other-machine.ts';
import type { PowerQueue, PowerQueues } from '../power-queues.ts';
import { QuirkSet } from '../quirk-set.ts';
import { type ReadBoot, redfishTargets } from './boot-request.ts';
import { RedfishMedia } from './redfish-media.ts';
import { RedfishSystem } from './redfish-system.ts';
import { managersOf, membersOf, pathOf, RedfishVisit } from './redfish-visit.ts';

/** Switches a machine by Redfish (DSP0266), whatever its vendor made of it. */
export class RedfishDriver implements PowerDriver {
  readonly abilities: PowerAbilities = { readsState: true, turnsOn: true, turnsOff: true, setsBoot: true };
  readonly #options: PowerOptions;
  readonly #origin: URL;
  readonly #queue: PowerQueue;
  readonly #quirks: QuirkSet;
  readonly #http: BmcHttp;
  /** Of the system, from the address or found out. */
  #path: string | undefined;
  #isMet = false;

  /** @param timeoutMs for one call. Throws PowerError Invalid. */
  constructor(options: PowerOptions, queues: PowerQueues, timeoutMs?: number) {
    const address = parseAddress(options.bmc.address);
    this.#options = options;
    this.#origin = new URL(address.origin);
    this.#path = address.pathname === '/' ? undefined : address.pathname;
    this.#queue = queues.of(address.origin);
    this.#quirks = new QuirkSet(options.bmc.quirks ?? [], options.logger);
    this.#http = new BmcHttp(options.bmc, options.hosts, timeoutMs);
  }

  state(signal: AbortSignal): Promise<PowerState> {
    return this.#visit(signal, (system) => system.powerState());
  }

  turn(action: PowerAction, signal: AbortSignal): Promise<void> {
    return this.#visit(signal, (system) => system.turn(action));
  }

  setBoot({ target, mode, isOnce }: BootSetting, signal: AbortSignal): Promise<BootSetting> {
    const wanted = { target: redfishTargets[target], isOnce, ...(mode === undefined ? {} : { mode }) };
    return this.#visit(signal, async (system) => settingOf(target, await system.boot(wanted)));
  }

  identify(signal: AbortSignal): Promise<BmcIdentity> {
    return this.#visit(signal, async (system, visit) => {
      const { body } = await system.read();
      const [manager] = managersOf(body);
      const firmware = manager === undefined ? {} : (await visit.tryGet(manager)).body;
      return { ...identityOf(body, firmware), quirks: this.#quirks.names };
    });
  }

  bootMedia(image: URL, signal: AbortSignal): Promise<void> {
    return this.#visit(signal, (system, visit) => this.#media(system, { visit, signal }).bootFrom(image));
  }

  ejectMedia(signal: AbortSignal): Promise<void> {
    return this.#visit(signal, (system, visit) => this.#media(system, { visit, signal }).eject());
  }

  #media(
    system: RedfishSystem,
    { visit, signal }: { visit: RedfishVisit; signal: AbortSignal },
  ): RedfishMedia {
    return new RedfishMedia({ system, visit, quirks: this.#quirks, clock: this.#options.clock, signal });
  }

  async close(): Promise<void> {
    this.#http.close();
  }

  #visit<T>(
    signal: AbortSignal,
    work: (system: RedfishSystem, visit: RedfishVisit) => Promise<T>,
  ): Promise<T> {
    const { login, clock } = this.#options;
    return this.#queue.visit({ login: loginKey(login), signal }, async () => {
      const visit = new RedfishVisit({
        http: this.#http,
        origin: this.#origin,
        login,
        queue: this.#queue,
        quirks: this.#quirks,
        signal,
      });
      try {
        const path = (this.#path ??= await findSystem(visit, this.#origin));
        const system = new RedfishSystem({ visit, path, quirks: this.#quirks, clock, signal });
        await this.#meet(system, visit);
        return await work(system, visit);
      } finally {
        await visit.end();
      }
    });
  }

  /** On the first visit: whose it is, and of which make. */
  async #meet(system: RedfishSystem, visit: RedfishVisit): Promise<void> {
    if (this.#isMet) return;
    const { Vendor: vendor } = await visit.root();
    const { body } = await system.read();
    for (const name of [vendor, body['Manufacturer']])
      if (typeof name === 'string') this.#quirks.learnVendor(name);
    const { identity = {} } = this.#options;
    const told = { ...identityOf(body, {}), quirks: [] };
    const contradiction = this.#quirks.has('ForeignIdentity') ? undefined : contradictionOf(identity, told);
    if (contradiction !== undefined) {
      throw new PowerError(
        'Invalid',
        `The BMC at ${this.#origin.host} belongs to another machine: ${contradiction}. Correct spec.bmc.address or spec.identity; if the BMC is wrong, name ForeignIdentity in spec.bmc.quirks.`,
        { isPassing: false },
      );
    }
    this.#isMet = true;
  }
}

/** Of the BMC, fit to be shown. */
function shown(text: string): string {
  return printable(text).trim().slice(0, 200);
}

function identityOf(system: JsonObject, manager: JsonObject): Omit<BmcIdentity, 'quirks'> {
  const text = (value: unknown) =>
    typeof value === 'string' && value.trim() !== '' ? shown(value) : undefined;
  const told = {
    uuid: text(system['UUID'])?.toLowerCase(),
    serial: text(system['SerialNumber']),
    manufacturer: text(system['Manufacturer']),
    model: text(system['Model']),
    firmware: text(manager['FirmwareVersion']),
  };
  return Object.fromEntries(Object.entries(told).filter(([, value]) => value !== undefined));
}

async function findSystem(visit: RedfishVisit, origin: URL): Promise<string> {
  const systems = pathOf((await visit.root())['Systems']);
  if (systems === undefined)
    throw new PowerError('Unsupported', `${origin.host} has no systems to switch.`, { isPassing: false });
  const paths = membersOf((await visit.get(systems)).body['Members']);
  const [only, ...others] = paths;
  if (only === undefined)
    throw new PowerError('Unavailable', `${origin.host} shows no system now.`, { isPassing: true });
  if (others.length === 0) return only;
  const choices = paths.slice(0, 20).map((path) => `${origin.origin}${path}`);
  throw new PowerError(
    'Invalid',
    `Several systems are behind this BMC; set spec.bmc.address to one of ${choices.join(', ')}`,
    {
      isPassing: false,
    },
  );
}

function settingOf(target: BootSetting['target'], read: ReadBoot): BootSetting {
  return { target, isOnce: read.enabled === 'Once', ...(read.mode === undefined ? {} : { mode: read.mode }) };
}

/** `host`, `host:port`, or an address with a scheme; the path names the system. */
function parseAddress(address: string | undefined): URL {
  const text = address ?? '';
  const url = URL.parse(/^[a-z]+:\/\//i.test(text) ? text : `https://${text}`);
  const isRedfish = url !== null && ['http:', 'https:'].includes(url.protocol) && url.username === '';
  const path = url?.pathname.replace(/\/+$/, '') ?? '';
  const isPath = path === '' || path === '/redfish/v1' || /^\/redfish\/v1\/Systems\/[^/]+$/.test(path);
  if (text === '' || !isRedfish || !isPath) {
    throw new PowerError(
      'Invalid',
      'spec.bmc.address of type Redfish is https://host[:port][/redfish/v1/Systems/ID]',
      { isPassing: false },
    );
  }
  return new URL(path === '/redfish/v1' ? '/' : path || '/', url.origin);
}
