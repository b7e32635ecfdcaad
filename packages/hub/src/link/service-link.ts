import type { Clock, Logger, ObjectClient } from '@selvedge/api';
import type { ConnectRequest } from '@selvedge/apiserver';
import type { FleetStore } from '@selvedge/store';
import type { Place } from '../gateway/admission-control.ts';
import type { AgentAuthentication } from '../gateway/agent-authentication.ts';
import type { HttpExchange } from '../gateway/http-exchange.ts';
import type { ReplayGuard } from '../gateway/replay-guard.ts';
import type { SiteDirectory } from '../gateway/site-directory.ts';
import type { SitePolls } from '../gateway/site-polls.ts';
import type { HubIdentity } from '../identity/hub-identity.ts';
import { LinkCounts } from './link-counts.ts';
import { LinkDirectory } from './link-directory.ts';
import { LinkEndpoint } from './link-endpoint.ts';
import { PeerHub } from './peer-hub.ts';
import { SiteLinks } from './site-links.ts';
import { SiteProxy } from './site-proxy.ts';

/** Other hubs on the same database, any of which may have the link of a site. */
export interface LinkPeers {
  /** Where they reach this hub. Asked for once it listens. */
  readonly ownUrl: () => string;
  /** PEM of those whose certificates are those of hubs of this fleet. */
  readonly authorities: () => readonly string[];
}

export interface ServiceLinkOptions {
  readonly client: ObjectClient;
  readonly fleet: FleetStore;
  readonly identity: Pick<HubIdentity, 'fleetKey'>;
  readonly authentication: AgentAuthentication;
  readonly replays: ReplayGuard;
  readonly sites: SiteDirectory;
  readonly polls: SitePolls;
  readonly connectedWithinSeconds: number;
  /** Absent: this hub is alone. */
  readonly peers: LinkPeers | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random: () => number;
}

/** The hub's end of the service links: from a user's request at `sites/NAME/proxy` to the site that answers it. */
export class ServiceLink {
  readonly counts = new LinkCounts();
  readonly links: SiteLinks;
  readonly #endpoint: LinkEndpoint;
  readonly #proxy: SiteProxy;
  readonly #directory: LinkDirectory | undefined;
  readonly #sites: SiteDirectory;
  readonly #closing = new AbortController();

  constructor(options: ServiceLinkOptions) {
    const { peers, identity, clock, polls } = options;
    const logger = options.logger.child({ component: 'link' });
    this.#sites = options.sites;
    this.#directory = peers && new LinkDirectory({ ...options, ownUrl: peers.ownUrl, logger });
    const { fleetKey } = identity;
    const authorities = () => peers?.authorities() ?? [];
    const hasPoll = (site: string) => polls.has(site);
    this.links = new SiteLinks({
      clock,
      logger,
      wakePoll: (site) => polls.wake(site),
      hasPoll,
      directory: this.#directory,
      peerAt: (url) => new PeerHub({ url, fleetKey, authorities, clock }),
    });
    this.#endpoint = new LinkEndpoint({
      ...options,
      links: this.links,
      fleetPublicKey: fleetKey.publicKey,
      logger,
      closing: this.#closing.signal,
      meter: this.counts,
    });
    this.#proxy = new SiteProxy({
      ...options,
      links: this.links,
      hasPoll,
      now: () => clock.now(),
      onWaitFailed: () => {
        this.counts.failedWaits += 1;
      },
    });
  }

  async start(): Promise<void> {
    await this.#directory?.start();
  }

  /** A request for `sites/NAME/proxy`. */
  connect(request: ConnectRequest): Promise<void> {
    return this.#proxy.connect(request);
  }

  /** A request at `/link/`. */
  handle(exchange: HttpExchange, place: Place): Promise<void> {
    return this.#endpoint.handle(exchange, place);
  }

  /** A Site came, changed or went: sessions that it no longer allows end at once. */
  siteChanged(name: string): void {
    const site = this.#sites.find(name);
    if (site === undefined) this.links.end(name);
    else if ((site.spec?.link ?? 'Read') === 'Read') this.links.endUpgrades(name);
    void this.#endpoint.recheck(name);
  }

  /** Ends every link; no new ones. */
  async drain(): Promise<void> {
    this.#closing.abort('closing');
    await this.links.close();
  }

  async close(): Promise<void> {
    await this.#directory?.close();
  }
}
