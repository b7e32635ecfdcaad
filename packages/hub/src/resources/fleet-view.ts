import {
  type Clock,
  type KubeObject,
  resourceName,
  type Site,
  type SiteConnectivity,
  sites,
} from '@selvedge/api';
import type { FleetStore, Heartbeat, ObjectStore } from '@selvedge/store';
import { connectivityOf, expectedSilenceSeconds } from './connectivity.ts';
import { ShortLived } from './short-lived.ts';

export interface FleetViewOptions {
  readonly fleet: FleetStore;
  readonly objects: ObjectStore;
  readonly clock: Clock;
  readonly connectedWithinSeconds: number;
}

export interface SiteContact {
  readonly connectivity: SiteConnectivity;
  readonly lastSeenTime?: string;
  /** When the agent last saw that what the hub has of it still holds. */
  readonly observedTime?: string;
}

const heartbeatsKeptMilliseconds = 500;
const expectationsKeptMilliseconds = 5_000;

/** What reads of objects are filled in with: contact with sites, from the fleet store and the Site objects. */
export class FleetView {
  readonly fleet: FleetStore;
  readonly objects: ObjectStore;
  readonly clock: Clock;
  readonly #options: FleetViewOptions;
  readonly #heartbeats: ShortLived<Map<string, Heartbeat>>;
  readonly #epochs: ShortLived<Map<string, number>>;
  readonly #expectedSilence: ShortLived<Map<string, number>>;

  constructor(options: FleetViewOptions) {
    const { fleet, objects, clock } = options;
    this.fleet = fleet;
    this.objects = objects;
    this.clock = clock;
    this.#options = options;
    this.#heartbeats = new ShortLived({
      clock,
      milliseconds: heartbeatsKeptMilliseconds,
      load: () => fleet.heartbeats(),
    });
    this.#epochs = new ShortLived({
      clock,
      milliseconds: heartbeatsKeptMilliseconds,
      load: () => fleet.siteEpochs(),
    });
    this.#expectedSilence = new ShortLived({
      clock,
      milliseconds: expectationsKeptMilliseconds,
      load: () => this.#loadExpectedSilence(),
    });
  }

  epochs(): Promise<Map<string, number>> {
    return this.#epochs.get();
  }

  /** When each site was last heard of, and what that means. `specs` of sites that the caller has at hand. */
  async contacts(): Promise<(site: string, spec?: Site['spec']) => SiteContact> {
    const [heartbeats, expected] = await Promise.all([this.#heartbeats.get(), this.#expectedSilence.get()]);
    const { connectedWithinSeconds, clock } = this.#options;
    const now = clock.now();
    return (site, spec) => {
      const { lastSeenAt: lastSeenTime, observedAt } = heartbeats.get(site) ?? {};
      const silence = spec === undefined ? expected.get(site) : expectedSilenceSeconds(spec);
      const connectivity = connectivityOf({
        lastSeenTime,
        connectedWithinSeconds,
        expectedSilenceSeconds: silence ?? expectedSilenceSeconds(undefined),
        now,
      });
      return {
        connectivity,
        ...(lastSeenTime === undefined ? {} : { lastSeenTime }),
        ...(observedAt === undefined ? {} : { observedTime: observedAt }),
      };
    };
  }

  async #loadExpectedSilence(): Promise<Map<string, number>> {
    const { objects } = await this.objects.list({ resource: resourceName(sites) });
    return new Map(
      objects.map(({ key, body }) => [key.name, expectedSilenceSeconds((JSON.parse(body) as Site).spec)]),
    );
  }
}

/** The object with its status changed; nothing is left of a status that would be empty. */
export function withStatus<T extends KubeObject>(object: T, status: object | undefined): T {
  const { status: _, ...rest } = object;
  return (status === undefined || Object.keys(status).length === 0 ? rest : { ...rest, status }) as T;
}
