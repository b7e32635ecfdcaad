import {
  canonicalJson,
  type Clock,
  type HubIdentity as HubIdentityAnswer,
  type Logger,
  type ObjectClient,
  type Site,
  StatusError,
} from '@selvedge/api';
import type { FleetStore } from '@selvedge/store';
import { EventRecorder } from '../controllers/event/event-recorder.ts';
import { SealedValues } from '../credentials/sealed-values.ts';
import type { HubIdentity } from '../identity/hub-identity.ts';
import { type LinkPeers, ServiceLink } from '../link/service-link.ts';
import { AdmissionControl, type Place } from './admission-control.ts';
import { checkBodyHash } from './agent-jwt.ts';
import { AgentAuthentication } from './agent-authentication.ts';
import { ContentEncodings } from './content-encodings.ts';
import { ContentEndpoint, contentPrefix } from './content-endpoint.ts';
import { EnrollEndpoint } from './enroll-endpoint.ts';
import { Enrollment } from './enrollment.ts';
import { EnrollmentLedger } from './enrollment-ledger.ts';
import { HttpExchange, installPrefix, type HttpRequest, type HttpResponse } from './http-exchange.ts';
import { InstallEndpoint } from './install-endpoint.ts';
import { LocalActs } from './local-acts.ts';
import { type KnownMachine, MachineDirectory } from './machine-directory.ts';
import { ReplayGuard } from './replay-guard.ts';
import { SealedEndpoint, sealedPrefix } from './sealed-endpoint.ts';
import { SignedStates } from './signed-states.ts';
import { SiteDirectory } from './site-directory.ts';
import { SiteInventories } from './site-inventories.ts';
import { SiteMachines } from './site-machines.ts';
import { mirrorPrefix, SiteMirrors } from './site-mirrors.ts';
import { SitePolls } from './site-polls.ts';
import { SiteRacks } from './site-racks.ts';
import { SiteRecovery } from './site-recovery.ts';
import { SiteStatusWriter } from './site-status.ts';
import { SyncEndpoint } from './sync-endpoint.ts';

export interface GatewayOptions {
  readonly client: ObjectClient;
  readonly fleet: FleetStore;
  /** `Store.instance`. */
  readonly instance: string;
  readonly identity: Pick<
    HubIdentity,
    | 'hubId'
    | 'fleetKey'
    | 'caCertificate'
    | 'isEnrollmentSecret'
    | 'enrollmentSecret'
    | 'installSignature'
    | 'isInstallSignature'
    | 'sealedVersion'
  >;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random: () => number;
  /** Addresses at which agents reach this hub; asked for at each use. */
  readonly hubUrls: () => readonly string[];
  /** Other hubs on the same database; absent: there are none. */
  readonly peers: LinkPeers | undefined;
  /** A site that was heard of within this time is in touch. */
  readonly connectedWithinSeconds: number;
  /** Longest wait of a long-poll. */
  readonly syncWaitSeconds: number;
  /** Requests worked on at once; parked long-polls do not count. */
  readonly maxInWork: number;
}

/** The only door that sites use. */
export interface Gateway {
  /** Whether this path is the gateway's. */
  owns(path: string): boolean;
  /** Answers a request; never throws. */
  handle(request: HttpRequest, response: HttpResponse): Promise<void>;
  /** Long-polls that are open now. */
  readonly openPolls: number;
  /** What goes to sites and back. */
  readonly link: ServiceLink;
  /** The site of an agent whose token this is (`Authorization`), for a request without a body. Throws Unauthorized. */
  authenticateAgent(authorization: string): Promise<string>;
  /** Every Site, as last heard; from memory. */
  sites(): readonly Site[];
  /** Every Machine, the same. */
  machines(): readonly KnownMachine[];
  /** `SiteMachines.heldAt`. */
  machinesHeldAt(site: string): string | undefined;
  /** One of `sites()`. */
  findSite(site: string): Site | undefined;
  /** Answers what is open, refuses what comes, and resolves when nothing is in work. */
  drain(): Promise<void>;
  /** After `drain`: lets go of everything. */
  close(): Promise<void>;
}

const prefixes = ['/sync/', '/gateway/', '/content/', '/link/', mirrorPrefix, installPrefix];

/** Resolves when the gateway can answer. */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const gateway = new HttpGateway(options);
  await gateway.start();
  return gateway;
}

class HttpGateway implements Gateway {
  readonly #o: GatewayOptions;
  readonly #log: Logger;
  readonly #admission: AdmissionControl;
  readonly #authentication: AgentAuthentication;
  readonly #sites: SiteDirectory;
  readonly #machines: MachineDirectory;
  readonly #states: SignedStates;
  readonly #polls: SitePolls;
  readonly #sync: SyncEndpoint;
  readonly #enroll: EnrollEndpoint;
  readonly #content: ContentEndpoint;
  readonly #sealed: SealedEndpoint;
  readonly #install: InstallEndpoint;
  readonly #mirrors: SiteMirrors;
  readonly #siteMachines: SiteMachines;
  readonly link: ServiceLink;
  readonly #recorder: EventRecorder;
  readonly #unsubscribe: () => void;
  #identity: Promise<HubIdentityAnswer> | undefined;

  constructor(options: GatewayOptions) {
    const { client, fleet, identity, clock, random } = options;
    const logger = options.logger.child({ component: 'gateway' });
    this.#o = options;
    this.#log = logger;
    this.#admission = new AdmissionControl(options);
    this.#sites = new SiteDirectory({ client, clock, logger });
    this.#machines = new MachineDirectory({ client, clock, logger });
    this.#states = new SignedStates(fleet, identity);
    this.#polls = new SitePolls(clock);
    const authentication = new AgentAuthentication({
      fleet,
      sites: this.#sites,
      hubId: identity.hubId,
      clock,
    });
    this.#authentication = authentication;
    const replays = new ReplayGuard(clock);
    this.link = new ServiceLink({
      ...options,
      authentication,
      replays,
      sites: this.#sites,
      polls: this.#polls,
      logger,
    });
    const { instance } = options;
    const encodings = new ContentEncodings((digest) => fleet.findBlob(digest));
    this.#recorder = new EventRecorder({ client, clock, logger });
    const status = new SiteStatusWriter({ client, clock, logger, instance, recorder: this.#recorder });
    this.#mirrors = new SiteMirrors({ fleet, authentication, status, clock, logger });
    this.#siteMachines = new SiteMachines({
      client,
      fleet,
      directory: this.#machines,
      recorder: this.#recorder,
      clock,
      logger,
    });
    this.#sync = new SyncEndpoint({
      fleet,
      instance,
      authentication,
      admission: this.#admission,
      states: this.#states,
      encodings,
      polls: this.#polls,
      status,
      links: this.link.links,
      acts: new LocalActs({ client, fleet, status, clock, logger }),
      recovery: new SiteRecovery({
        client,
        fleet,
        identity,
        status,
        clock,
        logger,
      }),
      inventories: new SiteInventories({ status, clock, logger }),
      mirrors: this.#mirrors,
      racks: new SiteRacks({ status, clock }),
      machines: this.#siteMachines,
      clock,
      logger,
      random,
      waitSeconds: options.syncWaitSeconds,
    });
    const ledger = new EnrollmentLedger({ client, clock, random });
    const enrollment = new Enrollment({ client, fleet, identity, ledger, clock, logger, random });
    const { hubId } = identity;
    this.#enroll = new EnrollEndpoint({ enrollment, replays, hubId, clock });
    this.#content = new ContentEndpoint({ fleet, authentication, encodings });
    const values = new SealedValues({ client, identity, clock });
    this.#sealed = new SealedEndpoint({ fleet, authentication, sites: this.#sites, values });
    this.#install = new InstallEndpoint({ client, identity, hubUrls: options.hubUrls, clock, logger });
    this.#unsubscribe = fleet.onChange((change) => {
      if (change.kind === 'site') this.#polls.wake(change.site);
    });
  }

  async authenticateAgent(authorization: string): Promise<string> {
    const { claims, key } = await this.#authentication.authenticate(authorization);
    checkBodyHash(claims, new Uint8Array());
    return key.site;
  }

  get openPolls(): number {
    return this.#polls.size;
  }

  sites(): readonly Site[] {
    return this.#sites.list();
  }

  machines(): readonly KnownMachine[] {
    return this.#machines.list();
  }

  findSite(site: string): Site | undefined {
    return this.#sites.find(site);
  }

  machinesHeldAt(site: string): string | undefined {
    return this.#siteMachines.heldAt(site);
  }

  async start(): Promise<void> {
    await this.#sites.start((site) => {
      if (this.#sites.find(site) === undefined) {
        this.#states.forget(site);
        this.#sync.forget(site);
      }
      this.#polls.wake(site);
      this.link.siteChanged(site);
    });
    await this.#machines.start();
    await this.link.start();
  }

  owns(path: string): boolean {
    return prefixes.some((prefix) => path.startsWith(prefix));
  }

  async handle(request: HttpRequest, response: HttpResponse): Promise<void> {
    const exchange = new HttpExchange(request, response, { clock: this.#o.clock, logger: this.#log });
    try {
      const place = this.#admission.enter(this.#polls.size);
      try {
        await this.#route(exchange, place);
      } finally {
        place.leave();
      }
    } catch (error) {
      exchange.refuse(error);
    }
  }

  async drain(): Promise<void> {
    // First, so that the answers already say that the connection ends.
    const idle = this.#admission.close();
    this.#polls.close();
    await this.link.drain();
    await idle;
  }

  async close(): Promise<void> {
    this.#unsubscribe();
    await this.link.close();
    this.#states.close();
    await this.#sites.close();
    await this.#machines.close();
    await this.#recorder.flush();
  }

  async #route(exchange: HttpExchange, place: Place): Promise<void> {
    const { path } = exchange;
    if (path.startsWith('/link/')) {
      await this.link.handle(exchange, place);
    } else if (path === '/sync/v1') {
      checkMethod(exchange, ['POST']);
      await this.#sync.handle(exchange, place);
    } else if (path === '/gateway/v1/enroll') {
      checkMethod(exchange, ['POST']);
      await this.#enroll.handle(exchange, place);
    } else if (path === '/gateway/v1/identity') {
      checkMethod(exchange, ['GET', 'HEAD']);
      this.#identity ??= this.#signIdentity();
      exchange.answer({ code: 200, body: await this.#identity });
    } else if (path.startsWith(contentPrefix)) {
      checkMethod(exchange, ['GET', 'HEAD']);
      await this.#content.handle(exchange);
    } else if (path.startsWith(sealedPrefix)) {
      checkMethod(exchange, ['GET']);
      await this.#sealed.handle(exchange);
    } else if (path.startsWith(mirrorPrefix)) {
      checkMethod(exchange, ['PUT']);
      await this.#mirrors.handle(exchange, place);
    } else if (path.startsWith(installPrefix)) {
      checkMethod(exchange, ['GET', 'HEAD']);
      await this.#install.handle(exchange);
    } else {
      throw new StatusError('NotFound', `the gateway has no ${path.slice(0, 200)}`);
    }
  }

  async #signIdentity(): Promise<HubIdentityAnswer> {
    const { hubId, fleetKey, caCertificate } = this.#o.identity;
    const identity = { hubId, fleetKey: fleetKey.publicKey, caCertificate };
    return { ...identity, signature: await fleetKey.sign(canonicalJson(identity)) };
  }
}

function checkMethod(exchange: HttpExchange, allowed: readonly string[]): void {
  if (allowed.includes(exchange.method)) return;
  throw new StatusError(
    'MethodNotAllowed',
    `${exchange.shownPath} takes ${allowed.join(' or ')}, not ${exchange.method}`,
  );
}
