import type { Clock, Site } from '@selvedge/api';
import type { FleetStore, SiteKey } from '@selvedge/store';
import { type AgentClaims, decodeAgentJwt, unauthorized, verifyAgentJwt } from './agent-jwt.ts';
import type { SiteDirectory } from './site-directory.ts';

/** An agent that proved to hold the key of its site. */
export interface AuthenticatedAgent {
  readonly site: Site;
  readonly siteUid: string;
  readonly key: SiteKey;
  readonly claims: AgentClaims;
}

const enrollAgain = 'to let it back in, enrol the agent again with a new token';

/** Knows agents by the key that enrolment bound to their site. */
export class AgentAuthentication {
  readonly #fleet: FleetStore;
  readonly #sites: SiteDirectory;
  readonly #hubId: string;
  readonly #clock: Clock;

  constructor(options: { fleet: FleetStore; sites: SiteDirectory; hubId: string; clock: Clock }) {
    this.#fleet = options.fleet;
    this.#sites = options.sites;
    this.#hubId = options.hubId;
    this.#clock = options.clock;
  }

  /** Throws Unauthorized, in words that tell the person at the site what to do. */
  async authenticate(authorization: string | undefined): Promise<AuthenticatedAgent> {
    const jwt = decodeAgentJwt(authorization);
    const key = await this.#fleet.findSiteKey(jwt.site);
    const { site, siteUid } = await this.#getSite(jwt.site, jwt.keyFingerprint, key);
    if (key?.fingerprint !== jwt.keyFingerprint || key.siteUid !== siteUid) {
      throw await this.#unknownKey(jwt.site, jwt.keyFingerprint, key);
    }
    const claims = verifyAgentJwt(jwt, {
      publicKey: key.publicKey,
      audience: this.#hubId,
      now: this.#clock.now(),
    });
    return { site, siteUid, key, claims };
  }

  /** Checks again an agent that has waited: its site or key may be gone. Returns the site as it is. */
  async confirm(agent: AuthenticatedAgent): Promise<AuthenticatedAgent> {
    const { site: name, fingerprint } = agent.key;
    const key = await this.#fleet.findSiteKey(name);
    const { site, siteUid } = await this.#getSite(name, fingerprint, key);
    if (key?.fingerprint !== fingerprint || key.siteUid !== siteUid) {
      throw await this.#unknownKey(name, fingerprint, key);
    }
    return { ...agent, site, siteUid };
  }

  /** The agent with its Site as last heard, without asking anybody. */
  asKnown(agent: AuthenticatedAgent): AuthenticatedAgent {
    const site = this.#sites.find(agent.key.site);
    return site?.metadata.uid === agent.siteUid ? { ...agent, site } : agent;
  }

  async #getSite(
    name: string,
    fingerprint: string,
    key: SiteKey | undefined,
  ): Promise<{ site: Site; siteUid: string }> {
    let site = this.#sites.find(name);
    // The directory lags by an instant behind an enrolment that has just made the site.
    if (site === undefined || (key !== undefined && key.siteUid !== site.metadata.uid)) {
      site = await this.#sites.findNow(name);
    }
    const siteUid = site?.metadata.uid;
    if (site === undefined || siteUid === undefined) {
      throw unauthorized(
        `there is no site "${name}" at this hub: it was deleted, or never enrolled here; ${enrollAgain}`,
      );
    }
    if (site.spec?.revokedKeys?.includes(fingerprint)) {
      throw unauthorized(
        `key ${fingerprint} of site "${name}" is revoked (spec.revokedKeys of the Site); ${enrollAgain}`,
      );
    }
    return { site, siteUid };
  }

  async #unknownKey(name: string, fingerprint: string, key: SiteKey | undefined): Promise<Error> {
    if (key === undefined) {
      return unauthorized(`the hub knows no agent key of site "${name}"; ${enrollAgain}`);
    }
    if (key.fingerprint === fingerprint) {
      return unauthorized(
        `site "${name}" was deleted and made again, key ${fingerprint} belonged to the old one; ${enrollAgain}`,
      );
    }
    return unauthorized(
      `key ${fingerprint} is unknown at site "${name}": the site has another agent, with key ${key.fingerprint}; ${enrollAgain}`,
    );
  }
}
