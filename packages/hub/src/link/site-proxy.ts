import { notFound, type Site, sites, StatusError } from '@selvedge/api';
import type { ApiRequest, ConnectRequest, ConnectSubresource } from '@selvedge/apiserver';
import type { FleetStore } from '@selvedge/store';
import type { SiteDirectory } from '../gateway/site-directory.ts';
import { connectivityOf, expectedSilenceSeconds } from '../resources/connectivity.ts';
import { passedHeaders } from './link-headers.ts';
import { PeerLostError } from './peer-hub.ts';
import { relay } from './relay.ts';
import { linkWaitSeconds, type SiteLinks, type Way } from './site-links.ts';

export interface SiteProxyOptions {
  readonly links: SiteLinks;
  readonly sites: SiteDirectory;
  readonly fleet: FleetStore;
  readonly now: () => Date;
  readonly hasPoll: (site: string) => boolean;
  readonly connectedWithinSeconds: number;
  readonly onWaitFailed: () => void;
}

/** `sites/NAME/proxy`: what stands behind it is asked of the site's own Kubernetes API (or of its Podman) through its link. */
export class SiteProxy implements ConnectSubresource {
  readonly #o: SiteProxyOptions;

  constructor(options: SiteProxyOptions) {
    this.#o = options;
  }

  async connect(request: ConnectRequest): Promise<void> {
    const { name, rest, req, res, base, user, auditId, draining } = request;
    const site = await this.#getSite(name);
    checkLink(site, req, rest);
    const { name: userName, groups } = user;
    const call = {
      site: name,
      method: req.method ?? 'GET',
      path: rest.startsWith('/') ? rest : `/${rest}`,
      headers: passedHeaders(req.headers),
      user: { name: userName, groups },
      auditId,
    };
    const gone = new AbortController();
    const onGone = () => gone.abort('gone');
    res.once('close', onGone);
    try {
      // The second time for a link that turned out to be lost, with the hub that had it.
      for (let attempt = 0; ; attempt++) {
        const way = await this.#findWay(site, AbortSignal.any([gone.signal, draining]));
        try {
          await relay({ req, res, base, call, draining }, way.far);
          return;
        } catch (error) {
          if (!(error instanceof PeerLostError) || way.peer === undefined) throw error;
          this.#o.links.lostPeer(name, way.peer);
          if (attempt > 0 || req.readableDidRead) {
            throw new StatusError('ServiceUnavailable', `the link to site "${name}" was lost: ask again`);
          }
        }
      }
    } finally {
      res.off('close', onGone);
    }
  }

  async #getSite(name: string): Promise<Site> {
    const site = this.#o.sites.find(name) ?? (await this.#o.sites.findNow(name));
    if (site === undefined) throw notFound(sites, name);
    return site;
  }

  async #findWay(site: Site, signal: AbortSignal): Promise<Way> {
    const { name } = site.metadata;
    const { links, onWaitFailed } = this.#o;
    const present = links.findWay(name);
    if (present) return present;
    try {
      await this.#refuseAbsent(site);
      return await links.waitForWay(name, signal);
    } catch (error) {
      if (!signal.aborted) onWaitFailed();
      if (!(error instanceof StatusError) || error.reason !== 'Timeout' || signal.aborted) throw error;
      throw await this.#whyNoLink(site);
    }
  }

  async #whyNoLink({ metadata: { name }, status }: Site): Promise<StatusError> {
    const { fleet, hasPoll } = this.#o;
    if (!hasPoll(name) && !(await fleet.heartbeats()).has(name)) {
      return unavailable(`site "${name}" has never been in touch: see whether its agent runs`);
    }
    const version = status?.agent?.version;
    const agent = version === undefined ? 'its agent' : `its agent (version ${version})`;
    return new StatusError(
      'Timeout',
      `site "${name}" is in touch, but did not open its link within ${linkWaitSeconds} s: ${agent} is older than the service link, or its way to the hub lets no WebSocket through; its log says which`,
    );
  }

  /** Throws when it is known that nobody is there to open a link. */
  async #refuseAbsent(site: Site): Promise<void> {
    const { fleet, hasPoll, now, connectedWithinSeconds } = this.#o;
    const { name, uid } = site.metadata;
    const key = await fleet.findSiteKey(name);
    if (key === undefined || key.siteUid !== uid) {
      const isRevoked = (site.spec?.revokedKeys ?? []).length > 0;
      throw unavailable(
        `site "${name}" has no agent${isRevoked ? ', its key is revoked (spec.revokedKeys)' : ' yet'}: enrol one`,
      );
    }
    if (site.spec?.revokedKeys?.includes(key.fingerprint)) {
      throw unavailable(
        `the key of the agent of site "${name}" is revoked (spec.revokedKeys): enrol it again`,
      );
    }
    if (hasPoll(name)) return;
    const lastSeenTime = (await fleet.heartbeats()).get(name)?.lastSeenAt;
    const connectivity = connectivityOf({
      lastSeenTime,
      connectedWithinSeconds,
      expectedSilenceSeconds: expectedSilenceSeconds(site.spec),
      now: now(),
    });
    // One that has just enrolled may be on its way, one that is in touch with another hub is written down a little later.
    if (connectivity === 'Connected' || lastSeenTime === undefined) return;
    throw unavailable(`site "${name}" is away: it was last in touch at ${lastSeenTime}`);
  }
}

/** Quickly, for the person who asks. What counts is what the agent at the site allows. */
function checkLink({ metadata: { name }, spec }: Site, req: ApiRequest, rest: string): void {
  const access = spec?.link ?? 'Read';
  if (access === 'Full') return;
  if (access === 'Disabled') {
    throw new StatusError(
      'Forbidden',
      `the link to site "${name}" is closed: spec.link of the Site is Disabled`,
    );
  }
  const method = req.method ?? 'GET';
  const isQuestion = method === 'POST' && /^\/apis\/auth(?:orization|entication)\.k8s\.io\//.test(rest);
  if (!req.upgradeTo && (['GET', 'HEAD'].includes(method) || isQuestion)) return;
  const what = req.upgradeTo ? 'a streaming session' : method;
  throw new StatusError(
    'Forbidden',
    `site "${name}" may only be read: ${what} needs Full, spec.link of the Site is Read`,
  );
}

const unavailable = (message: string): StatusError => new StatusError('ServiceUnavailable', message);
