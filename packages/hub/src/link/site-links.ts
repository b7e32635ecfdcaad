import { type Clock, type Logger, StatusError } from '@selvedge/api';
import type { FarSide } from './far-side.ts';
import type { LinkDirectory } from './link-directory.ts';
import { LinkWishes, wishMilliseconds } from './link-wishes.ts';
import type { SiteLink } from './site-link.ts';

export interface SiteLinksOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  /** Wakes the poll of a site, if it is here. */
  readonly wakePoll: (site: string) => void;
  readonly hasPoll: (site: string) => boolean;
  /** Where the links of other hubs are; absent: there are no others. */
  readonly directory: LinkDirectory | undefined;
  /** The way to a site whose link is at another hub. */
  readonly peerAt: (url: string) => FarSide;
}

/** A link that does not come within this time does not come. */
export const linkWaitSeconds = 30;
const wishAgainMs = 10_000;

/** A way to a site. */
export interface Way {
  readonly far: FarSide;
  /** Of the hub that has the link, when it is not this one. */
  readonly peer?: string;
}

/** The service links that are open, one for each site, and how a site is asked for one. */
export class SiteLinks {
  readonly #o: SiteLinksOptions;
  readonly #links = new Map<string, SiteLink>();
  /** Older ones that only end what they have begun. */
  readonly #retired = new Set<SiteLink>();
  readonly #wishes: LinkWishes;
  readonly #waiting = new Map<string, Set<() => void>>();
  /** Addresses that did not answer, by site, until another stands in their place. */
  readonly #lostPeers = new Map<string, string>();
  #isClosed = false;

  constructor(options: SiteLinksOptions) {
    this.#o = options;
    this.#wishes = new LinkWishes(options.clock);
    options.directory?.onChange((site) => this.#directoryChanged(site));
  }

  /** Links that are open here. */
  get open(): number {
    return this.#links.size;
  }

  /** Requests and upgraded connections that are under way here. */
  get sessions(): number {
    let count = 0;
    for (const link of [...this.#links.values(), ...this.#retired]) count += link.streams;
    return count;
  }

  /** The link that is open at this very hub. */
  find(site: string): SiteLink | undefined {
    const link = this.#links.get(site);
    return link?.isOpen === true ? link : undefined;
  }

  /** Takes a new link in. The one before goes on with what it has begun if it still answers, and takes nothing new. */
  async add(link: SiteLink): Promise<void> {
    const { site } = link;
    if (this.#isClosed) {
      link.destroy();
      return;
    }
    const before = this.#links.get(site);
    this.#links.set(site, link);
    this.#wishes.forget(site);
    this.#lostPeers.delete(site);
    link.closed.addEventListener('abort', () => this.#left(link), { once: true });
    if (link.closed.aborted) {
      this.#left(link);
      return;
    }
    if (before) void this.#replace(before);
    this.#arrived(site);
    await this.#o.directory?.announce(site);
  }

  /** Nothing was there any more: the next request asks for a new link. */
  lostPeer(site: string, peer: string): void {
    this.#lostPeers.set(site, peer);
  }

  /** Whether the answer to the site's poll is to ask for a link. */
  isWanted(site: string): boolean {
    return this.#wishes.isDue(site) && this.find(site) === undefined;
  }

  told(site: string): void {
    this.#wishes.told(site);
  }

  /** Ends the link of a site with all that is on it. */
  end(site: string): void {
    this.#wishes.forget(site);
    this.#links.get(site)?.destroy();
    for (const link of this.#retired) if (link.site === site) link.destroy();
  }

  /** Ends upgraded connections: the site may only be read from now on. */
  endUpgrades(site: string): void {
    this.#links.get(site)?.endUpgrades();
    for (const link of this.#retired) if (link.site === site) link.endUpgrades();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    const sites = [...this.#links.keys()];
    for (const link of [...this.#links.values(), ...this.#retired]) link.destroy();
    const { directory } = this.#o;
    if (directory) await Promise.all(sites.map((site) => directory.withdraw(site)));
  }

  /** A way that is there now. */
  findWay(site: string): Way | undefined {
    const link = this.find(site);
    if (link) return { far: link };
    const url = this.#o.directory?.holder(site);
    if (url === undefined || this.#lostPeers.get(site) === url) return undefined;
    return { far: this.#o.peerAt(url), peer: url };
  }

  /** Asks the site for its link and waits for it. Throws Timeout; also when `signal` fires, for then nobody waits any more. */
  async waitForWay(site: string, signal: AbortSignal): Promise<Way> {
    const { clock } = this.#o;
    const deadline = clock.now().getTime() + linkWaitSeconds * 1000;
    for (;;) {
      const left = deadline - clock.now().getTime();
      if (left <= 0 || signal.aborted || this.#isClosed) break;
      const news = this.#news(site);
      await this.#wish(site);
      const found = this.findWay(site);
      if (found) {
        news.cancel();
        return found;
      }
      await clock.sleep(Math.min(left, wishAgainMs), AbortSignal.any([news.signal, signal]));
      news.cancel();
      const come = this.findWay(site);
      if (come) return come;
    }
    throw new StatusError('Timeout', `no link to site "${site}" was opened within ${linkWaitSeconds} s`);
  }

  async #wish(site: string): Promise<void> {
    const until = this.#o.clock.now().getTime() + wishMilliseconds;
    this.#wishes.wish(site, until);
    this.#o.wakePoll(site);
    // The poll may be at another hub.
    if (!this.#o.hasPoll(site)) await this.#o.directory?.want(site, new Date(until));
  }

  #news(site: string): { signal: AbortSignal; cancel: () => void } {
    const news = new AbortController();
    const tell = () => news.abort('news');
    const waiting = this.#waiting.get(site) ?? new Set();
    this.#waiting.set(site, waiting.add(tell));
    const cancel = () => {
      waiting.delete(tell);
      if (waiting.size === 0 && this.#waiting.get(site) === waiting) this.#waiting.delete(site);
    };
    return { signal: news.signal, cancel };
  }

  #arrived(site: string): void {
    for (const tell of this.#waiting.get(site) ?? []) tell();
  }

  async #replace(before: SiteLink): Promise<void> {
    this.#retired.add(before);
    if (!(await before.isAlive())) before.destroy();
    else before.retire();
  }

  #left(link: SiteLink): void {
    this.#retired.delete(link);
    const { site } = link;
    if (this.#links.get(site) !== link) return;
    this.#links.delete(site);
    if (!this.#isClosed) void this.#o.directory?.withdraw(site);
  }

  /** Another hub has the link now, or wants it. */
  #directoryChanged(site: string): void {
    const { directory, clock } = this.#o;
    if (directory === undefined) return;
    const holder = directory.holder(site);
    if (holder !== this.#lostPeers.get(site)) this.#lostPeers.delete(site);
    const link = this.#links.get(site);
    if (holder !== undefined) {
      this.#arrived(site);
      // A site opens another link when its own is dead, which may have been this one. What is heard may also be old: only looked at.
      if (link) void dropDead(link);
    }
    const until = directory.wantedUntil(site);
    if (until !== undefined && until.getTime() > clock.now().getTime() && !this.find(site)) {
      this.#wishes.wish(site, until.getTime());
      this.#o.wakePoll(site);
    }
  }
}

async function dropDead(link: SiteLink): Promise<void> {
  if (!(await link.isAlive())) link.destroy();
}
