import type { Clock, Logger, RackReport } from '@selvedge/api';
import { probeDhcpServers } from './dhcp-probe.ts';

type OtherServer = NonNullable<RackReport['networks'][number]['otherServers']>[number];

export interface OtherServersOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly onChange: () => void;
  /** Asks one network; default: by DHCP. */
  readonly probe?: typeof probeDhcpServers;
}

interface Look {
  readonly address: string;
  readonly servers: Map<string, OtherServer>;
  /** Looks that found nobody, in a row. */
  silent: number;
  nextAtMs: number;
}

/** Looks out for DHCP servers on the rack's networks: now and then, and soon after a box has chosen one. */
export class OtherServers {
  readonly #o: OtherServersOptions;
  readonly #looks = new Map<string, Look>();
  readonly #stop = new AbortController();
  readonly #loop: Promise<void>;
  #wake = new AbortController();
  #hasComplained = false;

  constructor(options: OtherServersOptions) {
    this.#o = options;
    this.#loop = this.#run();
  }

  /** Networks that are served now, by name, with the rack's address there. */
  setNetworks(networks: readonly { name: string; address: string }[]): void {
    for (const name of this.#looks.keys()) {
      if (!networks.some((one) => one.name === name)) this.#looks.delete(name);
    }
    for (const { name, address } of networks) {
      if (this.#looks.get(name)?.address === address) continue;
      this.#looks.set(name, { address, servers: new Map(), silent: 0, nextAtMs: this.#nowMs() });
      this.#wake.abort();
    }
  }

  lookSoon(name: string): void {
    const look = this.#looks.get(name);
    if (look === undefined || look.nextAtMs <= this.#nowMs() + soonMs) return;
    look.nextAtMs = this.#nowMs() + soonMs;
    this.#wake.abort();
  }

  /** Those that answered within the last half hour. */
  of(name: string): readonly OtherServer[] {
    const oldest = new Date(this.#nowMs() - rememberMs).toISOString();
    return [...(this.#looks.get(name)?.servers.values() ?? [])].filter(
      ({ lastSeenTime }) => lastSeenTime >= oldest,
    );
  }

  /** Nobody answered, more than once. */
  isSilent(name: string): boolean {
    return (this.#looks.get(name)?.silent ?? 0) >= 2;
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#loop;
  }

  async #run(): Promise<void> {
    const { clock } = this.#o;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      this.#wake = new AbortController();
      for (const [name, look] of this.#looks) {
        if (look.nextAtMs <= this.#nowMs() && !signal.aborted) await this.#look(name, look);
      }
      const nextAtMs = Math.min(
        ...[...this.#looks.values()].map((look) => look.nextAtMs),
        this.#nowMs() + everyMs,
      );
      const waitMs = Math.max(1000, nextAtMs - this.#nowMs());
      await clock.sleep(waitMs, AbortSignal.any([signal, this.#wake.signal]));
    }
  }

  async #look(name: string, look: Look): Promise<void> {
    const { clock, logger, onChange, probe = probeDhcpServers } = this.#o;
    try {
      const found = await probe(look.address, clock, this.#stop.signal);
      if (this.#stop.signal.aborted) return;
      const lastSeenTime = clock.now().toISOString();
      for (const { address } of found) {
        if (!look.servers.has(address))
          logger.warn('another DHCP server answers on a network of the rack', { network: name, address });
        if (look.servers.size < mostServers) look.servers.set(address, { address, lastSeenTime });
      }
      look.silent = found.length === 0 ? look.silent + 1 : 0;
      onChange();
    } catch (error) {
      if (!this.#hasComplained)
        logger.warn('other DHCP servers cannot be looked for', { network: name, error });
      this.#hasComplained = true;
    }
    look.nextAtMs = this.#nowMs() + (look.silent === 1 ? soonMs : everyMs * (0.9 + Math.random() / 5));
  }

  #nowMs(): number {
    return this.#o.clock.now().getTime();
  }
}

const everyMs = 5 * 60_000;
const soonMs = 10_000;
const rememberMs = 30 * 60_000;
const mostServers = 20;
