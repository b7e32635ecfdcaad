import { isDeepStrictEqual } from 'node:util';
import {
  type Clock,
  type DesiredState,
  isConflict,
  isNotFound,
  isStatusError,
  type Logger,
  type Machine,
  machines,
  type ObjectClient,
  type Site,
  sitePolicy,
  specOfPolicy,
  StatusError,
  type SyncRequest,
  sites,
} from '@selvedge/api';
import { stateDigest } from '@selvedge/api/node';
import type { FleetStore, SiteKey } from '@selvedge/store';
import type { HubIdentity } from '../identity/hub-identity.ts';
import { type MachineDifference, machineDifferences } from '../machines/machine-differences.ts';
import { specOfRackOrder } from '../machines/rack-order.ts';
import {
  type FollowedApplication,
  maxRecoveryChanges,
  recoveryChanges,
} from '../resources/recovery-changes.ts';
import { isHubBehind } from '../resources/site-hold.ts';
import { withCondition } from '../rollout/conditions.ts';
import { hubBehindFinding } from './contact-findings.ts';
import { buildDesiredState } from './desired-state.ts';
import { adoptingState, findHeldStateFault, isForeignState, overridingState } from './held-state.ts';
import type { SiteStatusWriter, StatusPatch } from './site-status.ts';
import type { CheckedSyncRequest } from './sync-request.ts';

export interface SiteRecoveryOptions {
  readonly client: ObjectClient;
  readonly fleet: FleetStore;
  readonly identity: Pick<HubIdentity, 'hubId' | 'fleetKey'>;
  readonly status: SiteStatusWriter;
  readonly clock: Clock;
  readonly logger: Logger;
}

type Recovery = NonNullable<NonNullable<Site['status']>['recovery']>;

/** More names would only bloat the Site. */
const maxTold = 200;
/** An answer that asked for the state may have been lost, or the agent may be too old to know the question. */
const askAgainMilliseconds = 60_000;
/** A site that was asked sends its state with its next request, over whatever link. */
const answerMilliseconds = 600_000;
/** Who was asked so often and shows nothing will not. */
const askedInVain = 3;
/** A greater number was never counted: the site would be out of reach for ever. */
const maxOverriddenEpoch = 2 ** 40;

/**
 * Brings site and hub in step again when the hub lost its memory: what the site follows is asked for, shown on the Site, and
 * adopted or overridden when a person said so (`Site.status.recovery`).
 */
export class SiteRecovery {
  readonly #o: SiteRecoveryOptions;
  readonly #asked = new Map<string, { what: string; time: number }>();
  /** Site → how often it was asked on account of one wish. */
  readonly #askedFor = new Map<string, { wish: string; times: number }>();

  constructor(options: SiteRecoveryOptions) {
    this.#o = options;
  }

  /** Whether an agent whose state does not lead to the hub's should send what it follows now. */
  needsState(site: Site, request: CheckedSyncRequest): boolean {
    if (request.held !== undefined || request.heldFault !== undefined) return false;
    const { hubBehind } = site.status ?? {};
    const isWanted = wishOf(site) !== undefined;
    if (hubBehind?.stateDigest === request.stateDigest && !isWanted) return false;
    const asked = this.#asked.get(site.metadata.name);
    if (asked?.what !== questionOf(site, request)) return true;
    return this.#o.clock.now().getTime() - asked.time > askAgainMilliseconds;
  }

  noteAsked(site: Site, request: SyncRequest): void {
    const time = this.#o.clock.now().getTime();
    const { name } = site.metadata;
    this.#asked.set(name, { what: questionOf(site, request), time });
    const wish = wishOf(site)?.requestedTime;
    if (wish === undefined) return;
    const known = this.#askedFor.get(name);
    this.#askedFor.set(name, { wish, times: known?.wish === wish ? known.times + 1 : 1 });
  }

  /** Whether the site may be about to send what it follows. */
  awaitsState(site: Site): boolean {
    const asked = this.#asked.get(site.metadata.name)?.time ?? Number.NEGATIVE_INFINITY;
    return isHubBehind(site) || this.#o.clock.now().getTime() - asked < answerMilliseconds;
  }

  /** Whether `receive` has to see the request: it shows a state, or a person's wish comes true without one. */
  concerns(site: Site, request: CheckedSyncRequest): boolean {
    if (request.held !== undefined || request.heldFault !== undefined) return true;
    const wish = wishOf(site);
    const asked = this.#askedFor.get(site.metadata.name);
    return wish?.action === 'Override' && asked?.wish === wish.requestedTime && asked.times >= askedInVain;
  }

  forget(site: string): void {
    this.#asked.delete(site);
    this.#askedFor.delete(site);
  }

  /**
   * Takes in what a site says it follows, and does what a person asked for. A state that is not to be believed changes nothing.
   * @returns whether the hub is behind the site afterwards.
   */
  async receive(key: SiteKey, request: CheckedSyncRequest): Promise<boolean> {
    const { held } = request;
    const site = await this.#o.client.find<Site>(sites, { name: key.site });
    if (site === undefined || site.metadata.uid !== key.siteUid) return false;
    const wish = wishOf(site);
    if (held === undefined) return this.#receiveNothing(key, site, request);
    const fault = this.#faultOf(held, key, request);
    if (fault !== undefined) return this.#receiveNothing(key, site, { ...request, heldFault: fault });
    const shown = site.status?.hubBehind;
    const isForeign =
      shown?.stateDigest === request.stateDigest ||
      (await this.#isForeign(key, held.state, request.stateDigest));
    if (!isForeign) {
      if (isHubBehind(site)) await this.#clear(key, wish);
      return false;
    }
    // Signed, but older than what it showed before: a site that lies, or whose disk was put back.
    const isOlder = shown !== undefined && held.state.epoch < shown.agentEpoch;
    if (!isOlder) await this.#show(key, held.state, request.stateDigest);
    if (wish === undefined) return true;
    if (isOlder && wish.action === 'Adopt') {
      const message = `The site followed epoch ${shown.agentEpoch} before and now shows epoch ${held.state.epoch}: an older state is not adopted. "selvedge site override ${key.site}" makes it follow this hub.`;
      await this.#refuse(key, wish, message);
      return true;
    }
    return this.#carryOut(key, wish, () =>
      wish.action === 'Adopt' ? this.#adopt(key, held.state, wish) : this.#override(key, held.state, wish),
    );
  }

  /** There is nothing to believe in the request; to override, a hub need not know what the site follows. */
  async #receiveNothing(key: SiteKey, site: Site, request: CheckedSyncRequest): Promise<boolean> {
    const { heldFault } = request;
    const wish = wishOf(site);
    if (heldFault !== undefined) {
      this.#o.logger.warn('the state that a site sent is not taken', { site: key.site, reason: heldFault });
    }
    const isBehind = isHubBehind(site);
    if (wish === undefined || !isBehind) return isBehind;
    if (wish.action === 'Adopt') {
      if (heldFault !== undefined)
        await this.#refuse(key, wish, `The state that the site sent was not taken: ${heldFault}.`);
      return true;
    }
    return this.#carryOut(key, wish, () => this.#overrideUnseen(key, request.epoch, wish));
  }

  /** Resolves to whether the hub is still behind. */
  async #carryOut(key: SiteKey, wish: Recovery, action: () => Promise<void>): Promise<boolean> {
    try {
      await action();
      return false;
    } catch (error) {
      if (isStatusError(error, 'BadRequest')) await this.#refuse(key, wish, error.message);
      // The hub changed the site's state, or the Site, at this moment: the wish stands, a later contact tries again.
      else if (isConflict(error)) this.#o.logger.warn('recovery put off', { site: key.site, error });
      else throw error;
      return true;
    }
  }

  #faultOf(
    held: NonNullable<SyncRequest['held']>,
    { site, siteUid }: SiteKey,
    request: SyncRequest,
  ): string | undefined {
    const { hubId, fleetKey } = this.#o.identity;
    return findHeldStateFault(held, { hubId, fleetKey: fleetKey.publicKey, site, siteUid }, request);
  }

  /** The hub counts no less than the site, but tells another story: it was restored, and counted on before the site came. */
  async #isForeign(key: SiteKey, state: DesiredState, digest: string): Promise<boolean> {
    const present = await this.#o.fleet.siteState(key.site);
    const own = buildDesiredState(this.#o.identity.hubId, key.siteUid, present);
    const isSame = state.epoch === own.epoch && stateDigest(own) === digest;
    return !isSame && (state.epoch === own.epoch || isForeignState(state, present));
  }

  /** The Site says from now on what the site follows, and that nothing is sent there. */
  async #show(key: SiteKey, state: DesiredState, digest: string): Promise<void> {
    const now = this.#o.clock.now().toISOString();
    const different = await this.#machineDifferences(key, state);
    const hubBehind = {
      agentEpoch: state.epoch,
      stateDigest: digest,
      applications: followedApplications(state).slice(0, maxTold),
      machines: different.slice(0, maxTold),
    };
    const finding = hubBehindFinding(key.site, state.epoch);
    await this.#o.status.change(key, (site) => {
      const present = site.status?.conditions ?? [];
      const conditions = withCondition(present, finding, now);
      const isSaid =
        isDeepStrictEqual(site.status?.hubBehind, hubBehind) && isDeepStrictEqual(present, conditions);
      return isSaid ? undefined : { hubBehind, conditions };
    });
  }

  async #adopt(key: SiteKey, state: DesiredState, wish: Recovery): Promise<void> {
    const { fleet } = this.#o;
    const before = await fleet.siteState(key.site);
    const different = await this.#machineDifferences(key, state);
    const followed = { applications: followedApplications(state), machines: different };
    const changes = recoveryChanges('Adopt', followed, before.rows);
    // First: once the state is adopted, the rack is sent what the hub has of them.
    for (const { name } of different) await this.#protect(name);
    const specFault = await this.#adoptSpec(key, state);
    await fleet.adoptSiteState(key.site, adoptingState(state, before.epoch));
    const missing = await this.#missingContent(state);
    await this.#finish(key, wish, {
      reason: 'Adopted',
      message: `As ${wish.requestedBy} asked, what the site follows (epoch ${state.epoch}) is what the hub wants there now.`,
      changes: [...(specFault === undefined ? [] : [specFault]), ...missing, ...changes],
    });
  }

  async #machineDifferences({ site }: SiteKey, { policy }: DesiredState): Promise<MachineDifference[]> {
    const { items } = await this.#o.client.list<Machine>(machines, {
      fieldSelector: `spec.siteName=${site}`,
    });
    return machineDifferences(policy.rack, items);
  }

  /** What an older Machine wants could release, switch off or overwrite what runs there now: a person has to look at it. */
  async #protect(name: string): Promise<void> {
    try {
      await this.#o.client.mergePatch<Machine>(
        machines,
        { name },
        { spec: { protected: true } },
        { fieldManager: 'selvedge-gateway' },
      );
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  /** Site.spec says what the site was told last; else the hub's next look at it would undo that. */
  async #adoptSpec({ site: name }: SiteKey, state: DesiredState): Promise<string | undefined> {
    const { client } = this.#o;
    const { spec, metadata } = await client.get<Site>(sites, { name });
    const present = spec?.variables ?? {};
    // Of the policy only what stands in the spec: its labels and others come from elsewhere.
    const told = specOfPolicy(state.policy);
    const patch = {
      ...(isDeepStrictEqual(specOfPolicy(sitePolicy(spec)), told) ? {} : told),
      ...specOfRackOrder(state.policy.rack, spec?.rack),
      ...(isDeepStrictEqual(present, state.variables)
        ? {}
        : {
            variables: {
              ...Object.fromEntries(Object.keys(present).map((k) => [k, null])),
              ...state.variables,
            },
          }),
    };
    if (Object.keys(patch).length === 0) return undefined;
    const { resourceVersion } = metadata;
    try {
      await client.mergePatch(
        sites,
        { name },
        { metadata: { resourceVersion }, spec: patch },
        { fieldManager: 'selvedge-gateway' },
      );
      return undefined;
    } catch (error) {
      if (!isStatusError(error, 'Invalid') && !isStatusError(error, 'Forbidden')) throw error;
      return `spec of the Site: stays as it is, and is told to the site, for the site's own was refused (${error.message})`;
    }
  }

  async #missingContent({ items }: DesiredState): Promise<string[]> {
    const missing: string[] = [];
    for (const { id, release, digest } of items) {
      if (await this.#o.fleet.hasBlob(digest)) continue;
      missing.push(
        `${nameOf(id)}: the hub does not have the content of ${release}; the site runs on from its own`,
      );
    }
    return missing;
  }

  async #override(key: SiteKey, state: DesiredState, wish: Recovery): Promise<void> {
    const { fleet } = this.#o;
    const before = await fleet.siteState(key.site);
    const machinesNow = await this.#machineDifferences(key, state);
    const followed = { applications: followedApplications(state), machines: machinesNow };
    const changes = recoveryChanges('Override', followed, before.rows);
    const overriding = overridingState(state, before);
    await fleet.adoptSiteState(key.site, overriding);
    await this.#finish(key, wish, {
      reason: 'Overridden',
      message: `As ${wish.requestedBy} asked, the site follows the hub again, from epoch ${overriding.epoch} on.`,
      changes,
    });
  }

  /** Beyond the number that the site says; what it follows, and the hub does not know of, it keeps by itself. */
  async #overrideUnseen(key: SiteKey, epoch: number, wish: Recovery): Promise<void> {
    if (epoch > maxOverriddenEpoch) {
      throw new StatusError(
        'BadRequest',
        `No hub has counted to ${epoch}: revoke the key of the site (spec.revokedKeys) and let it enrol again.`,
      );
    }
    const { fleet } = this.#o;
    const before = await fleet.siteState(key.site);
    const overriding = overridingState({ epoch, items: [], tombstones: [] }, before);
    await fleet.adoptSiteState(key.site, overriding);
    await this.#finish(key, wish, {
      reason: 'Overridden',
      message: `As ${wish.requestedBy} asked, the site is to follow the hub again, from epoch ${overriding.epoch} on. It never showed what it followed.`,
      changes: [],
    });
  }

  /** What it showed is an earlier chapter of the hub's own: nothing was lost, and there is nothing to decide. */
  async #clear(key: SiteKey, wish: Recovery | undefined): Promise<void> {
    const now = this.#o.clock.now().toISOString();
    const message = 'The site showed an earlier state of this very hub, and follows on from there.';
    const finding = { type: 'HubBehind', status: 'False', reason: 'OwnEarlierState', message } as const;
    const refused = { state: 'Refused', completedTime: now, message } as const;
    await this.#o.status.change(key, (site) => ({
      conditions: withCondition(site.status?.conditions ?? [], finding, now),
      hubBehind: null,
      ...(wish === undefined ? {} : completed(wish, refused)),
    }));
  }

  async #finish(
    key: SiteKey,
    wish: Recovery,
    outcome: { reason: 'Adopted' | 'Overridden'; message: string; changes: readonly string[] },
  ): Promise<void> {
    const { reason, message } = outcome;
    const changes = outcome.changes.slice(0, maxRecoveryChanges);
    const now = this.#o.clock.now().toISOString();
    const finding = { type: 'HubBehind', status: 'False', reason, message } as const;
    await this.#o.status.change(key, (site) => ({
      conditions: withCondition(site.status?.conditions ?? [], finding, now),
      hubBehind: null,
      ...completed(wish, { state: 'Done', completedTime: now, message, changes }),
    }));
    this.#o.logger.info('site and hub are in step again', { site: key.site, action: wish.action });
  }

  async #refuse(key: SiteKey, wish: Recovery, message: string): Promise<void> {
    const completedTime = this.#o.clock.now().toISOString();
    await this.#o.status.change(key, () => completed(wish, { state: 'Refused', completedTime, message }));
  }
}

function completed(
  { action, requestedBy, requestedTime }: Recovery,
  outcome: Pick<Recovery, 'state' | 'completedTime' | 'message' | 'changes'>,
): StatusPatch {
  return { recovery: { action, requestedBy, requestedTime, changes: null, ...outcome } };
}

/** What a person asked for and is not done yet. */
function wishOf({ status }: Site): Recovery | undefined {
  return status?.recovery?.state === 'Requested' ? status.recovery : undefined;
}

/** A new wish, or another state, is another question. */
function questionOf(site: Site, { stateDigest }: SyncRequest): string {
  return `${stateDigest} ${wishOf(site)?.requestedTime ?? ''}`;
}

function followedApplications({ items }: DesiredState): FollowedApplication[] {
  return items.map(({ id, release, digest }) => ({ name: nameOf(id), release, digest }));
}

/** `namespace/name` of an Application. */
function nameOf(id: string): string {
  return id.slice(id.indexOf('/') + 1);
}
