import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type Logger,
  type MachineOrder,
  type RackReport,
  type SecretValue,
  type SitePolicy,
  windowState,
} from '@selvedge/api';
import type { SealedStore } from '../credentials/sealed-store.ts';
import type { Depot } from '../depot/depot.ts';
import type { HubClock } from '../hub-connection/hub-clock.ts';
import type { LinkDoor } from '../link/link-door.ts';
import type { AgentDatabase } from '../state/agent-database.ts';
import type { ContentStore } from '../state/content-store.ts';
import { BootServer } from './boot/boot-server.ts';
import { ScriptSigner } from './boot/script-signer.ts';
import type { ImageLibrary } from './images/image-library.ts';
import { openImageLibrary } from './images/open-image-library.ts';
import type { MachineConsole } from './console/machine-console.ts';
import { withRackDoor } from './console/rack-door.ts';
import { RackCore } from './rack-core.ts';
import type { MachineNews } from './life/machine-news.ts';
import { RackNetworks } from './network/rack-networks.ts';
import { BmcHosts } from './power/bmc-hosts.ts';
import { openPower } from './power/open-power.ts';
import { PowerQueues } from './power/power-queues.ts';
import type { RackOptions, RackRole } from './rack-role.ts';

export interface OpenRackOptions extends RackOptions {
  readonly stateDir: string;
  readonly database: AgentDatabase;
  readonly content: ContentStore;
  readonly sealed: SealedStore;
  /** Of the site; absent: only boot files of the folder. */
  readonly depot: Depot | undefined;
  readonly clock: HubClock;
  readonly logger: Logger;
}

interface Parts {
  readonly core: RackCore;
  readonly library: ImageLibrary;
  readonly server: BootServer;
  readonly networks: RackNetworks;
  readonly hosts: BmcHosts;
}

/**
 * The rack of a site: it owns the life of its machines. What the hub wants comes with the signed policy; what the rack does about it goes on with the hub away and over restarts. Everything is decided
 * in `life/`, by a pure planner over records in the agent's database; `boot/`, `network/`, `images/` and `power/` are its hands.
 */
export class Rack implements RackRole {
  readonly #o: OpenRackOptions;
  readonly #p: Parts;
  readonly #news = new Set<() => void>();
  readonly #stop = new AbortController();
  #policy: SitePolicy | undefined;
  #wasFull = false;
  #loop: Promise<void> = Promise.resolve();

  private constructor(options: OpenRackOptions, make: (tellHub: () => void) => Parts) {
    this.#o = options;
    this.#p = make(() => this.#tellNews());
    const { library, networks, core } = this.#p;
    library.onChange(() => {
      void core.imagesChanged();
      this.#tellNews();
    });
    networks.onChange(() => this.#tellNews());
  }

  static async open(options: OpenRackOptions): Promise<Rack> {
    const { stateDir, depot, bootFilesDir, clock, logger, scriptKey } = options;
    const directory = join(stateDir, 'rack');
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const library = await openImageLibrary({
      directory: join(directory, 'images'),
      depot,
      bootFilesDir,
      clock,
      logger: logger.child({ component: 'rack-images' }),
    });
    const signer = scriptKey === undefined ? undefined : await ScriptSigner.open(scriptKey);
    return new Rack(options, (tellHub) => compose(options, { library, signer, directory, tellHub }));
  }

  get machines(): MachineNews {
    return this.#p.core.machines;
  }

  setPolicy(policy: SitePolicy): void {
    this.#policy = policy;
    const { core, networks } = this.#p;
    core.setOrder(policy.rack);
    networks.setOrder(core.wishes.networks, core.wishes.machines);
    this.#wantImages();
    this.#tellNews();
  }

  contentChanged(): void {
    this.#p.core.contentChanged();
  }

  wantedContent(): readonly string[] {
    return this.#p.core.wishes.scripts.map(({ digest }) => digest);
  }

  onNews(listener: () => void): void {
    this.#news.add(listener);
  }

  report(): RackReport {
    const { networks, library, core } = this.#p;
    const discoveryFull = core.discoveryFull();
    return {
      observedTime: core.keeper.now,
      networks: networks.states(),
      images: library.states(),
      ...(discoveryFull === undefined ? {} : { discoveryFull }),
    };
  }

  start(): void {
    const { signal } = this.#stop;
    this.#loop = Promise.all([this.#p.core.start(), this.#run(signal)]).then(() => {});
  }

  openDoor(door: LinkDoor): LinkDoor {
    return withRackDoor(door, { console: (uid) => this.#console(uid) });
  }

  /** What is needed to reach the console of a machine; undefined: nobody wants it here. */
  #console(uid: string): MachineConsole | undefined {
    const { wishes, logs } = this.#p.core;
    const order = wishes.find(uid);
    if (order === undefined) return undefined;
    const { bmc } = order;
    return {
      login: (bmc && wishes.loginOf(bmc)) ?? {},
      hosts: this.#p.hosts,
      log: logs.text(uid),
      onLog: (listener) => logs.listen(uid, listener),
      ...(bmc === undefined ? {} : { bmc }),
    };
  }

  findOrder(uid: string): MachineOrder | undefined {
    return this.#p.core.wishes.find(uid);
  }

  async close(): Promise<void> {
    const { server, networks, core, library } = this.#p;
    this.#stop.abort();
    await this.#loop;
    await networks.close();
    await server.close();
    await core.close();
    await library.close();
  }

  /** Windows open and close, quiet machines are told of again. */
  async #run(signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#o;
    for (let turn = 0; !signal.aborted; turn++) {
      await clock.sleep(paceMs * (0.9 + Math.random() / 5), signal);
      if (signal.aborted) return;
      try {
        if (turn % windowTurns === 0) this.#wantImages();
        this.#lookAtDiscovery();
        this.machines.renew();
      } catch (error) {
        logger.warn('the rack could not look after its reports', { error });
      }
    }
  }

  /** Boxes that are turned away change no record. */
  #lookAtDiscovery(): void {
    const isFull = this.#p.core.discoveryFull() !== undefined;
    if (isFull === this.#wasFull) return;
    this.#wasFull = isFull;
    if (isFull) this.#o.logger.warn('more boxes ask what to boot than this rack remembers');
    this.#tellNews();
  }

  #wantImages(): void {
    const { core, library } = this.#p;
    const { wishes } = core;
    const policy = this.#policy;
    if (policy === undefined) return;
    const { isOpen } = windowState(policy, 'download', this.#o.clock.now());
    library.setWanted(wishes.images, wishes.inspection, isOpen);
  }

  #tellNews(): void {
    for (const listener of this.#news) listener();
  }
}

const paceMs = 10_000;
const windowTurns = 3;

function compose(
  options: OpenRackOptions,
  beside: {
    readonly library: ImageLibrary;
    readonly signer: ScriptSigner | undefined;
    readonly directory: string;
    readonly tellHub: () => void;
  },
): Parts {
  const { database, content, sealed, clock, logger, listen, dnsmasq, timings } = options;
  const { library, signer, directory, tellHub } = beside;
  const monotonicMs = () => clock.monotonicNow();
  const queues = new PowerQueues({ clock });
  const hosts = new BmcHosts({ allowsLocal: options.allowLocalBmc === true });
  let networks: RackNetworks | undefined;
  const core = new RackCore({
    database,
    content: {
      findSecret: (id) => sealed.newest(id)?.value as SecretValue | undefined,
      hasBlob: (digest) => content.has(digest),
      findBlob: (digest) => content.find(digest),
    },
    library,
    openPower: (power) => openPower({ ...power, hosts }, queues),
    macsAt: async (address) => (await networks?.macsAt(address)) ?? [],
    onNews: tellHub,
    timings,
    clock,
    logger,
  });
  const server = new BootServer({
    desk: core.desk,
    files: library,
    clock,
    monotonicMs,
    logger: logger.child({ component: 'boot-server' }),
    ...(signer === undefined ? {} : { signer }),
  });
  networks = new RackNetworks({
    stateDir: join(directory, 'network'),
    bootServer: server,
    desk: core.desk,
    files: library,
    clock,
    monotonicMs,
    logger: logger.child({ component: 'rack-network' }),
    ...(listen === undefined ? {} : { listen }),
    ...(dnsmasq === undefined ? {} : { dnsmasq }),
  });
  return { core, library, server, networks, hosts };
}
