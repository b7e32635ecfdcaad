import {
  type AgentInfo,
  apiVersionOf,
  type Clock,
  type EnrollmentToken,
  type EnrollRequest,
  type EnrollResponse,
  enrollmentTokens,
  isAlreadyExists,
  isNotFound,
  KeyedMutex,
  type Logger,
  type ObjectClient,
  type Site,
  StatusError,
  sites,
} from '@selvedge/api';
import type { FleetStore, SiteKey } from '@selvedge/store';
import type { HubIdentity } from '../identity/hub-identity.ts';
import { countUses, type EnrollmentLedger, findUse, type TokenUse, usesOf } from './enrollment-ledger.ts';
import { getExpiry } from './enrollment-token-text.ts';
import { siteNameFor } from './site-name.ts';
import { agentPatch } from './site-status.ts';

export interface EnrollmentOptions {
  readonly client: ObjectClient;
  readonly fleet: FleetStore;
  readonly identity: Pick<HubIdentity, 'hubId' | 'isEnrollmentSecret'>;
  readonly ledger: EnrollmentLedger;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random: () => number;
}

/** An agent at the door; its key is proven. */
export interface Applicant {
  readonly publicKey: string;
  readonly keyFingerprint: string;
  readonly agent: AgentInfo;
}

/**
 * Binds agent keys to sites. The steps are: reserve a use of the token for this key (compare-and-set, durable), make the
 * Site when it is missing, bind the key, mark the use as finished, answer. A crash anywhere leaves a reservation that
 * belongs to one key: the same agent asking again goes on from there, nobody else can. Only a finished use may not
 * bring back a Site that was deleted since.
 */
export class Enrollment {
  readonly #o: EnrollmentOptions;
  readonly #sites = new KeyedMutex();

  constructor(options: EnrollmentOptions) {
    this.#o = options;
  }

  /** The token of a request whose secret is right. Throws Forbidden without telling which of the two is wrong. */
  async getToken(request: Pick<EnrollRequest, 'token' | 'secret'>): Promise<EnrollmentToken> {
    const token = await this.#findToken(request.token);
    const uid = token?.metadata.uid;
    // Compared for a missing token too, so that the time taken tells nothing.
    const isRight = this.#o.identity.isEnrollmentSecret(uid ?? 'missing', request.secret);
    if (token === undefined || uid === undefined || !isRight || token.metadata.deletionTimestamp) {
      throw forbidden(
        `the hub does not know enrolment token "${request.token}", or its secret is wrong: it may have been deleted; make a new token`,
      );
    }
    return token;
  }

  /** Lets the applicant in, lists it as pending, or throws why not. */
  async enroll(token: EnrollmentToken, applicant: Applicant): Promise<EnrollResponse> {
    const known = findUse(token, applicant.keyFingerprint);
    const use = known ?? {
      site: siteNameFor(token.spec, {
        hostname: applicant.agent.hostname,
        keyFingerprint: applicant.keyFingerprint,
      }),
      keyFingerprint: applicant.keyFingerprint,
      time: this.#o.clock.now().toISOString(),
    };
    return this.#sites.run(use.site, async () => {
      if (known === undefined) {
        const joined = await this.#findJoined(token, use);
        if (joined !== undefined) return this.#enrolled(joined);
        this.#checkOpen(token);
        await this.#checkSite(use, applicant);
        if (needsApproval(token, applicant)) return this.#pending(token, use, applicant);
        await this.#o.ledger.reserve(token, use, (present) => {
          this.#checkOpen(present);
          if (needsApproval(present, applicant)) throw forbidden(`the approval of this agent was withdrawn`);
        });
      }
      const site = await this.#bindOrRelease(token, use, applicant);
      await this.#o.ledger.confirm(token, use.keyFingerprint, getUid(site));
      await this.#showAgent(site, applicant);
      const { site: name, keyFingerprint } = use;
      this.#o.logger.info('agent enrolled', { site: name, keyFingerprint, token: token.metadata.name });
      return this.#enrolled(site);
    });
  }

  #enrolled(site: Site): EnrollResponse {
    const { hubId } = this.#o.identity;
    return { status: 'Enrolled', hubId, site: site.metadata.name, siteUid: getUid(site) };
  }

  async #bindOrRelease(token: EnrollmentToken, use: TokenUse, applicant: Applicant): Promise<Site> {
    try {
      return await this.#bind(token, use, applicant);
    } catch (error) {
      // Refused for good and the key not bound, so the use is free again. Anything else, this agent may try again.
      if (error instanceof StatusError && refusals.has(error.reason)) {
        await this.#o.ledger.release(token, use.keyFingerprint);
      }
      throw error;
    }
  }

  /** Makes the key the site's. Nothing may be thrown after the key is bound. */
  async #bind(token: EnrollmentToken, use: TokenUse, applicant: Applicant): Promise<Site> {
    const present = await this.#checkSite(use, applicant);
    const site = present.site ?? (await this.#createSite(token, use.site));
    const { deadKey } = present;
    if (deadKey !== undefined) await this.#o.fleet.removeSiteKey(use.site, deadKey.fingerprint);
    await this.#o.fleet.addSiteKey({
      site: use.site,
      siteUid: getUid(site),
      publicKey: applicant.publicKey,
      fingerprint: applicant.keyFingerprint,
      tokenUid: getUid(token),
      enrolledAt: this.#o.clock.now().toISOString(),
    });
    return site;
  }

  /** The site of an agent that joined with this token so long ago that the token no longer lists it. */
  async #findJoined(token: EnrollmentToken, use: TokenUse): Promise<Site | undefined> {
    const key = await this.#o.fleet.findSiteKey(use.site);
    if (key?.fingerprint !== use.keyFingerprint || key.tokenUid !== token.metadata.uid) return undefined;
    const site = await this.#o.client.find<Site>(sites, { name: use.site });
    const isRevoked = site?.spec?.revokedKeys?.includes(use.keyFingerprint) ?? false;
    return site?.metadata.uid === key.siteUid && !isRevoked ? site : undefined;
  }

  /** Throws when the key cannot become this site's. */
  async #checkSite(
    use: TokenUse,
    { keyFingerprint }: Applicant,
  ): Promise<{ site: Site | undefined; deadKey: SiteKey | undefined }> {
    const site = await this.#o.client.find<Site>(sites, { name: use.site });
    if (use.siteUid !== undefined && site?.metadata.uid !== use.siteUid) {
      throw forbidden(
        `the token was used by this agent to become site "${use.site}", which was deleted since: make a new token`,
      );
    }
    if (site?.metadata.deletionTimestamp !== undefined) {
      throw new StatusError('ServiceUnavailable', `site "${use.site}" is being deleted: ask again later`, {
        details: { retryAfterSeconds: 10 },
      });
    }
    const revokedKeys = site?.spec?.revokedKeys ?? [];
    if (revokedKeys.includes(keyFingerprint)) {
      throw forbidden(
        `key ${keyFingerprint} of site "${use.site}" is revoked (spec.revokedKeys of the Site): start the agent with an empty state directory, so it makes a new key`,
      );
    }
    const key = await this.#o.fleet.findSiteKey(use.site);
    if (key === undefined) return { site, deadKey: undefined };
    const isOfThisSite = key.siteUid === site?.metadata.uid;
    if (isOfThisSite && key.fingerprint === keyFingerprint) return { site, deadKey: undefined };
    if (isOfThisSite && !revokedKeys.includes(key.fingerprint)) {
      throw new StatusError(
        'Conflict',
        `site "${use.site}" has an agent already, with key ${key.fingerprint}: to replace it, add that fingerprint to spec.revokedKeys of the Site first`,
        { details: { name: use.site, group: sites.group, kind: sites.plural } },
      );
    }
    return { site, deadKey: key };
  }

  async #createSite(token: EnrollmentToken, name: string): Promise<Site> {
    const site: Site = {
      apiVersion: apiVersionOf(sites) as Site['apiVersion'],
      kind: 'Site',
      metadata: { name, ...(token.spec.siteLabels ? { labels: token.spec.siteLabels } : {}) },
      spec: {},
    };
    try {
      return await this.#o.client.create<Site>(sites, site);
    } catch (error) {
      if (isAlreadyExists(error)) return this.#o.client.get<Site>(sites, { name });
      throw error;
    }
  }

  /** So that people see the agent at once; the first sync would tell it anyway. */
  async #showAgent(site: Site, { agent }: Applicant): Promise<void> {
    const { name } = site.metadata;
    try {
      const key = await this.#o.fleet.findSiteKey(name);
      if (key === undefined) return;
      const patch = agentPatch(site.status?.agent, { key, request: { agent } }, this.#o.clock.now());
      if (patch === undefined) return;
      await this.#o.client.mergePatch(
        sites,
        { name },
        { status: { agent: patch } },
        { subresource: 'status', fieldManager: 'selvedge-gateway' },
      );
    } catch (error) {
      this.#o.logger.warn('site status not written', { site: name, error });
    }
  }

  async #pending(token: EnrollmentToken, use: TokenUse, applicant: Applicant): Promise<EnrollResponse> {
    const { keyFingerprint, agent } = applicant;
    await this.#o.ledger.addPending(token, { ...use, hostname: agent.hostname });
    return {
      status: 'Pending',
      message: `waiting for a person to approve this agent: add ${keyFingerprint} to spec.approvedKeys of EnrollmentToken "${token.metadata.name}"`,
      retryAfterSeconds: 10 + Math.round(this.#o.random() * 50) / 10,
    };
  }

  #checkOpen(token: EnrollmentToken): void {
    const expiry = getExpiry(token);
    if (expiry <= this.#o.clock.now()) {
      throw forbidden(
        `enrolment token "${token.metadata.name}" expired at ${expiry.toISOString()}: make a new token`,
      );
    }
    const uses = token.spec.uses ?? 1;
    if (countUses(token) >= uses) {
      const by = usesOf(token).at(-1)?.site;
      throw forbidden(
        `enrolment token "${token.metadata.name}" is used up (${uses} of ${uses}, last by site "${by}"): make a new token`,
      );
    }
  }

  async #findToken(name: string): Promise<EnrollmentToken | undefined> {
    // Names that the API could not have are no tokens of ours.
    if (!/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(name)) return undefined;
    try {
      return await this.#o.client.find<EnrollmentToken>(enrollmentTokens, { name });
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }
}

const refusals: ReadonlySet<string> = new Set(['Forbidden', 'Conflict', 'AlreadyExists', 'Invalid']);

function needsApproval(token: EnrollmentToken, { keyFingerprint }: Applicant): boolean {
  return token.spec.approval === 'Manual' && !token.spec.approvedKeys?.includes(keyFingerprint);
}

function getUid(object: Site | EnrollmentToken): string {
  const { uid } = object.metadata;
  if (uid === undefined) throw new Error(`${object.kind} "${object.metadata.name}" has no uid`);
  return uid;
}

function forbidden(message: string): StatusError {
  return new StatusError('Forbidden', message);
}
