import { isDeepStrictEqual } from 'node:util';
import {
  type Condition,
  type Machine,
  machines,
  type MirrorOrder,
  type RackOrder,
  type Site,
  type SiteConnectivity,
  type SitePolicy,
  sitePolicy,
  sites,
} from '@selvedge/api';
import { sha256Digest } from '@selvedge/api/node';
import { keysFromInformer, nameOfKey, type ReconcileResult, runController } from '@selvedge/kube';
import type { Heartbeat } from '@selvedge/store';
import { removalFinalizer } from '../../removal/removal-finalizer.ts';
import { connectivityOf, expectedSilenceSeconds } from '../../resources/connectivity.ts';
import { isHubBehind } from '../../resources/site-hold.ts';
import { ShortLived } from '../../resources/short-lived.ts';
import { withCondition } from '../../rollout/conditions.ts';
import { explainOversize, isOversize, restrainedOrder } from '../../machines/oversize-order.ts';
import { hubRegistriesOf, rackOrder } from '../../machines/rack-order.ts';
import { keysFromMirrorOrders, mirrorOrders } from '../../sources/mirror/mirror-orders.ts';
import type { ControllerContext } from '../controller-context.ts';
import type { EventFacts } from '../event/event-recorder.ts';
import { periodic } from '../key-sources.ts';
import { keysFromRacks } from './rack-sources.ts';
import { SealedNames } from './sealed-names.ts';
import { siteConditions } from './site-conditions.ts';

/** How often silence is looked for. Only in memory: nothing is written while nothing changes. */
const lookMilliseconds = 2_000;
/** Clocks of two hubs do not differ by more. */
const longPastMilliseconds = 10 * 60_000;

/** Keeps a Site's settings, finalizer, conditions and key in step with its object and with what is heard of its agent. */
export function runSiteController(ctx: ControllerContext): Promise<void> {
  const controller = new SiteController(ctx);
  const { informers, clock, logger, signal } = ctx;
  return runController({
    name: 'site',
    sources: [
      keysFromInformer(informers.sites),
      ...controller.sealedNames.sources(),
      keysFromMirrorOrders(ctx),
      ...keysFromRacks(ctx),
      periodic({ clock, milliseconds: lookMilliseconds, signal, findKeys: () => controller.findChanged() }),
    ],
    concurrency: 8,
    reconcile: (key) => controller.reconcile(nameOfKey(key).name),
    clock,
    logger,
    signal,
  });
}

class SiteController {
  readonly sealedNames: SealedNames;
  readonly #ctx: ControllerContext;
  /** Before this the hub has not listened long enough to call anybody silent. */
  readonly #listensSince: number;
  /** Per site, the end of the adoption whose doings on Machines have been heard of. */
  readonly #heardAdoption = new Map<string, string>();
  #hasLookedForForgotten = false;
  /** Read once for all the sites that are looked at in the same moment. */
  readonly #heartbeats: ShortLived<Map<string, Heartbeat>>;

  constructor(ctx: ControllerContext) {
    this.#ctx = ctx;
    this.sealedNames = new SealedNames(ctx);
    const { clock, fleet } = ctx;
    this.#heartbeats = new ShortLived({
      clock,
      milliseconds: lookMilliseconds / 2,
      load: () => fleet.heartbeats(),
    });
    this.#listensSince = ctx.clock.now().getTime();
  }

  /** Sites whose connectivity is no longer what their condition says; at first also those that are gone. */
  async findChanged(): Promise<string[]> {
    const { informers, fleet, logger } = this.#ctx;
    if (!informers.sites.isSynced) return [];
    try {
      const heartbeats = await this.#heartbeats.get();
      const changed = informers.sites
        .list()
        .filter((site) => {
          const said = site.status?.conditions?.find((c) => c.type === 'Connected')?.reason;
          return said !== this.#connectivity(site, heartbeats.get(site.metadata.name)?.lastSeenAt);
        })
        .map((site) => site.metadata.name);
      if (this.#hasLookedForForgotten) return changed;
      // A Site that was deleted while the hub was down told nobody.
      const known = [...heartbeats.keys(), ...(await fleet.siteEpochs()).keys()];
      this.#hasLookedForForgotten = true;
      return [...changed, ...known.filter((name) => informers.sites.find({ name }) === undefined)];
    } catch (error) {
      if (!this.#ctx.signal.aborted) logger.warn('heartbeats not read', { controller: 'site', error });
      return [];
    }
  }

  async reconcile(name: string): Promise<ReconcileResult> {
    const { client, fleet } = this.#ctx;
    const site = await client.find<Site>(sites, { name });
    if (!site) {
      this.#heardAdoption.delete(name);
      await fleet.forgetSite(name);
      return 'done';
    }
    await this.#checkKey(site);
    if (await this.#clearClaim(site)) return { requeueAfterSeconds: 0 };
    let present = site;
    let rackFault: string | undefined;
    const hasHeard = await this.#hasHeardAdoption(site);
    // A site that follows newer state than the hub's takes none of it until a person decides.
    if (!isHubBehind(site) && hasHeard) {
      const wanted = this.#rackOrder(site);
      let rack = wanted;
      if (wanted !== undefined && isOversize(wanted)) {
        // Not a part of them: with Machines left out it could not be told which are gone.
        rack = restrainedOrder((await fleet.siteState(name)).policy.rack, wanted);
        rackFault = explainOversize(wanted, rack);
      }
      if (rack !== undefined) await this.#putScripts(rack);
      const sealed = await this.sealedNames.find(site, rack);
      const { labels = {} } = site.metadata;
      const mirrors = mirrorOrders(this.#ctx.informers.applications.list(), site);
      const policy = sitePolicy(site.spec);
      await fleet.setSiteSettings(name, {
        variables: site.spec?.variables ?? {},
        policy: {
          ...policy,
          ...(await this.#depotFor(policy, rack)),
          ...(Object.keys(labels).length === 0 ? {} : { labels }),
          ...(sealed.length === 0 ? {} : { sealed }),
          ...(mirrors.length === 0 ? {} : { mirrors }),
          ...(rack === undefined ? {} : { rack }),
        },
      });
      present = await this.#forgetUnasked(site, { mirrors, rack: wanted });
    }
    await this.#writeConditions(await this.#ensureFinalizer(present), rackFault);
    return hasHeard ? 'done' : { requeueAfterSeconds: 1 };
  }

  #rackOrder(site: Site): RackOrder | undefined {
    // Most sites have none: nothing is listed for them.
    if (site.spec?.rack === undefined) return undefined;
    const { informers } = this.#ctx;
    return rackOrder(site, {
      machines: informers.machines.list(),
      images: informers.machineImages.list(),
      scripts: informers.machineScripts.list(),
    });
  }

  /**
   * Machines of a Site are protected before what it follows is adopted, and are heard of apart from it: an order of what was heard of them before could erase them.
   */
  async #hasHeardAdoption({ metadata: { name }, status, spec }: Site): Promise<boolean> {
    const { action, state, completedTime } = status?.recovery ?? {};
    if (action !== 'Adopt' || state !== 'Done' || completedTime === undefined) return true;
    if (spec?.rack === undefined || this.#heardAdoption.get(name) === completedTime) return true;
    // What was long past when this hub began to listen, it has heard with the rest.
    if (Date.parse(completedTime) < this.#listensSince - longPastMilliseconds) return true;
    const { client, informers } = this.#ctx;
    const { items } = await client.list<Machine>(machines, { fieldSelector: `spec.siteName=${name}` });
    const hasHeard = items.every(({ metadata }) => {
      const known = informers.machines.find(metadata)?.metadata;
      return known?.uid === metadata.uid && (known?.generation ?? 0) >= (metadata.generation ?? 0);
    });
    if (hasHeard) this.#heardAdoption.set(name, completedTime);
    return hasHeard;
  }

  /** Images of machines may be called by any name of the hub: it is the one that whoever pushed them reaches it by. */
  async #depotFor({ depot }: SitePolicy, rack: RackOrder | undefined): Promise<Pick<SitePolicy, 'depot'>> {
    if (rack === undefined || rack.images.length + rack.inspection.length === 0) return {};
    const own = (await this.#ctx.ownRegistries?.()) ?? [];
    // A hub that ends before it had its port knows no name of itself.
    this.#ctx.signal.throwIfAborted();
    const hubRegistries = hubRegistriesOf(rack, own);
    return hubRegistries.length === 0 ? {} : { depot: { ...depot, hubRegistries } };
  }

  /** Before sites are told of them: they ask at once. */
  async #putScripts({ scripts }: RackOrder): Promise<void> {
    const { fleet, informers, contentLock } = this.#ctx;
    for (const { name, digest } of scripts) {
      const text = informers.machineScripts.find({ name })?.spec.script ?? '';
      await contentLock.run(digest, async () => {
        // Another text has come since: it is told of it next.
        if (sha256Digest(text) !== digest || (await fleet.hasBlob(digest))) return;
        await fleet.putBlob(digest, Buffer.from(text));
      });
    }
  }

  /** What the site said of mirrors, and of a rack, that nobody asks for any more. */
  async #forgetUnasked(
    site: Site,
    asked: { readonly mirrors: readonly MirrorOrder[]; readonly rack: RackOrder | undefined },
  ): Promise<Site> {
    const { mirrors: said = [], rack, ...status } = site.status ?? {};
    const mirrors = said.filter(({ uid }) => asked.mirrors.some((order) => order.uid === uid));
    const isRackKept = rack === undefined || asked.rack !== undefined;
    if (mirrors.length === said.length && isRackKept) return site;
    const kept = {
      ...status,
      ...(mirrors.length === 0 ? {} : { mirrors }),
      ...(rack === undefined || !isRackKept ? {} : { rack }),
    };
    return this.#ctx.client.updateStatus<Site>(sites, { ...site, status: kept });
  }

  /** So that a Site cannot leave the fleet unseen. */
  async #ensureFinalizer(site: Site): Promise<Site> {
    const { deletionTimestamp, finalizers = [] } = site.metadata;
    if (deletionTimestamp !== undefined || finalizers.includes(removalFinalizer)) return site;
    const metadata = { ...site.metadata, finalizers: [...finalizers, removalFinalizer] };
    return this.#ctx.client.update<Site>(sites, { ...site, metadata });
  }

  async #checkKey({ metadata, spec }: Site): Promise<void> {
    const { fleet, logger } = this.#ctx;
    const { name, uid } = metadata;
    const key = await fleet.findSiteKey(name);
    if (!key) return;
    if (key.siteUid !== uid) {
      // The Site was deleted and made again: what was known of the one before is none of this one's business.
      logger.info('site made again, its former agent is forgotten', { site: name });
      await fleet.forgetSite(name);
    } else if ((spec?.revokedKeys ?? []).includes(key.fingerprint)) {
      logger.info('site key revoked', { site: name, fingerprint: key.fingerprint });
      await fleet.removeSiteKey(name, key.fingerprint);
    }
  }

  /** With its key went what an agent said of the state that it follows. Resolves to whether the Site was changed. */
  async #clearClaim(site: Site): Promise<boolean> {
    const { client, clock, fleet } = this.#ctx;
    if (!isHubBehind(site) || (await fleet.findSiteKey(site.metadata.name)) !== undefined) return false;
    const { hubBehind: _, recovery, ...status } = site.status ?? {};
    const now = clock.now().toISOString();
    const message = 'The key of the agent that followed another state is not valid any more.';
    const finding = { type: 'HubBehind', status: 'False', reason: 'KeyRemoved', message } as const;
    const conditions = withCondition(status.conditions ?? [], finding, now);
    const refused = { state: 'Refused', completedTime: now, message } as const;
    const wish = recovery?.state === 'Requested' ? { ...recovery, ...refused } : recovery;
    const cleared = { ...status, conditions, ...(wish === undefined ? {} : { recovery: wish }) };
    await client.updateStatus(sites, { ...site, status: cleared });
    return true;
  }

  async #writeConditions(site: Site, rackFault: string | undefined): Promise<void> {
    const { client, clock, recorder } = this.#ctx;
    const lastSeenTime = (await this.#heartbeats.get()).get(site.metadata.name)?.lastSeenAt;
    const facts = { connectivity: this.#connectivity(site, lastSeenTime), lastSeenTime, rackFault };
    const before = site.status?.conditions ?? [];
    const conditions = siteConditions(site, facts, clock.now().toISOString());
    if (isDeepStrictEqual(before, conditions)) return;
    await client.updateStatus(sites, { ...site, status: { ...site.status, conditions } });
    const events = [connectivityEvent(before, conditions), rackEvent(before, conditions)];
    for (const event of events) if (event) recorder.record(site, event);
  }

  #connectivity(site: Site, lastSeenTime: string | undefined): SiteConnectivity {
    const { connectedWithinSeconds, clock } = this.#ctx;
    const now = clock.now();
    const connectivity = connectivityOf({
      lastSeenTime,
      connectedWithinSeconds,
      expectedSilenceSeconds: expectedSilenceSeconds(site.spec),
      now,
    });
    const isConnected = site.status?.conditions?.some((c) => c.type === 'Connected' && c.status === 'True');
    const hasListened = now.getTime() - this.#listensSince > connectedWithinSeconds * 1000;
    return isConnected && !hasListened ? 'Connected' : connectivity;
  }
}

/** What a change of the Connected condition is to people; the first look at a new Site is none. */
function connectivityEvent(
  before: readonly Condition[],
  after: readonly Condition[],
): EventFacts | undefined {
  const was = before.find((c) => c.type === 'Connected');
  const is = after.find((c) => c.type === 'Connected');
  if (is === undefined || was?.reason === is.reason) return undefined;
  switch (is.reason as SiteConnectivity) {
    case 'Connected':
      return { type: 'Normal', reason: 'SiteConnected', message: is.message };
    case 'Away':
      return { type: 'Normal', reason: 'SiteAway', message: is.message };
    case 'Overdue':
      return { type: 'Warning', reason: 'SiteOverdue', message: is.message };
    case 'NeverConnected':
      return undefined;
  }
}

/** That a rack works no more, and that it works again. */
function rackEvent(before: readonly Condition[], after: readonly Condition[]): EventFacts | undefined {
  const was = before.find((c) => c.type === 'RackReady');
  const is = after.find((c) => c.type === 'RackReady');
  if (is === undefined || was?.reason === is.reason || was === undefined) return undefined;
  if (is.reason === 'Serving') return { type: 'Normal', reason: 'RackReady', message: is.message };
  return { type: 'Warning', reason: is.reason, message: is.message };
}
