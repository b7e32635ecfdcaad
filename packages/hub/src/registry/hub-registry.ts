import type { Clock, Logger, ObjectClient } from '@selvedge/api';
import type { ApiRequest, ApiResponse, ApiServer, UserInfo } from '@selvedge/apiserver';
import type { FleetStore } from '@selvedge/store';
import type { RegistryStorageOptions } from '../server/registry-storage-options.ts';
import type { RegistryContent } from './content/registry-content.ts';
import type { OwnImages } from './image-repositories.ts';
import { DistributionError } from './distribution-error.ts';
import { NamespaceOwners } from './namespace-owners.ts';
import { OwnRepository } from './own-repository.ts';
import { removeFormer } from './remove-former.ts';
import { RegistryCounts } from './registry-counts.ts';
import { RegistryError } from './registry-error.ts';
import { RegistryAccess } from './server/registry-access.ts';
import type { RegistryEndpoint } from './server/registry-endpoint.ts';

export interface HubRegistryOptions {
  readonly storage: RegistryStorageOptions;
  /** Hubs that share a database must share the storage, too. */
  readonly isShared: boolean;
  readonly api: () => Pick<ApiServer, 'access'>;
  /** With the rights of the hub. */
  readonly client: () => ObjectClient;
  readonly fleet: Pick<FleetStore, 'siteState' | 'findBlob'>;
  readonly hubId: string;
  /** The same for all hubs of a fleet. */
  readonly uploadKey: Buffer;
  /** Addresses of this hub. */
  readonly hubUrls: () => readonly string[];
  /** Verifies the token of an agent; returns its site. Throws Unauthorized. */
  readonly authenticateAgent: (authorization: string) => Promise<string>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random: () => number;
}

/** What nothing refers to stays for so long: longer than any push takes. */
const graceMilliseconds = 24 * 60 * 60_000;
const collectEveryMilliseconds = 6 * 60 * 60_000;
const firstCollectionMilliseconds = 30 * 60_000;

/** The hub's own image registry. What it is made of is loaded when it is asked for the first time. */
export class HubRegistry {
  readonly counts = new RegistryCounts();
  readonly #o: HubRegistryOptions;
  readonly #log: Logger;
  #content: Promise<RegistryContent> | undefined;
  #endpoint: Promise<RegistryEndpoint> | undefined;
  #access: RegistryAccess | undefined;
  #owners: NamespaceOwners | undefined;

  constructor(options: HubRegistryOptions) {
    this.#o = options;
    this.#log = options.logger.child({ component: 'registry' });
  }

  /** Whether this path is the registry's. */
  owns(path: string): boolean {
    return path === '/v2' || path.startsWith('/v2/') || path.startsWith('/v2?');
  }

  /** Answers a request; never rejects. */
  async handle(req: ApiRequest, res: ApiResponse, certificateUser: UserInfo | undefined): Promise<void> {
    try {
      this.#endpoint ??= this.#openEndpoint();
      await (await this.#endpoint).handle(req, res, certificateUser);
    } catch (error) {
      // Tried again with the next request: a bucket may come back.
      this.#endpoint = undefined;
      this.#log.error('registry cannot be opened', { error });
      if (res.headersSent) return;
      const message =
        error instanceof Error && error.name === 'DistributionError'
          ? error.message
          : 'see the log of the hub';
      res.statusCode = 503;
      res.setHeader('content-type', 'application/json');
      res.end(JSON.stringify({ errors: [{ code: 'UNAVAILABLE', message }] }));
    }
  }

  /** For the hub itself. */
  get own(): OwnImages {
    return {
      isOwn: (registry) => this.#isOwn(registry),
      open: (namespace, repository) => {
        if (!this.#rights().mayApplicationsRead(namespace, repository)) {
          throw new RegistryError('Denied', notFor(namespace, repository));
        }
        const [registry = 'the hub'] = this.#o.hubUrls().map((url) => new URL(url).host);
        const content = async () => {
          if (!(await this.#rights().isHidden(repository))) return this.#openContent();
          throw new DistributionError('NAME_UNKNOWN', `there is no repository ${repository}`);
        };
        return new OwnRepository({ registry, repository, content });
      },
    };
  }

  /** Collects now and then until the signal fires; only one hub at a time. */
  async collectPeriodically(signal: AbortSignal): Promise<void> {
    if (this.#o.storage.kind === 'off') return;
    for (let pause = firstCollectionMilliseconds; !signal.aborted; pause = collectEveryMilliseconds) {
      await this.#o.clock.sleep(pause * (1 + this.#o.random() / 4), signal);
      if (signal.aborted) return;
      await this.collect(signal).catch((error: unknown) => {
        if (!signal.aborted) this.#log.warn('registry not collected', { error });
      });
    }
  }

  async collect(signal: AbortSignal): Promise<void> {
    const content = await this.#openContent();
    const now = this.#o.clock.now();
    const before = new Date(now.getTime() - graceMilliseconds);
    for (const namespace of await removeFormer({ content, owners: this.#owned(), now, before, signal })) {
      this.#log.info('images of a deleted namespace removed', { namespace });
    }
    const collected = await content.collect?.(before, signal);
    if (collected === undefined) return;
    const { blobs, bytes, uploads, left } = collected;
    this.counts.collected.blobs += blobs;
    this.counts.collected.bytes += bytes;
    Object.assign(this.counts.stored, left);
    if (blobs + uploads > 0) this.#log.info('registry collected', { blobs, bytes, uploads });
  }

  #isOwn(registry: string): boolean {
    return this.#o.hubUrls().some((url) => new URL(url).host === registry.toLowerCase());
  }

  #rights(): RegistryAccess {
    const { api, client, hubId, authenticateAgent } = this.#o;
    const owners = this.#owned();
    this.#access ??= new RegistryAccess({ api: api(), client: client(), owners, hubId, authenticateAgent });
    return this.#access;
  }

  #owned(): NamespaceOwners {
    this.#owners ??= new NamespaceOwners(this.#o.client());
    return this.#owners;
  }

  #openContent(): Promise<RegistryContent> {
    this.#content ??= this.#open().catch((error: unknown) => {
      this.#content = undefined;
      throw error;
    });
    return this.#content;
  }

  async #open(): Promise<RegistryContent> {
    const { storage, clock, uploadKey, isShared, client } = this.#o;
    const { openRegistryContent } = await import('./open-registry-content.ts');
    const content = openRegistryContent({ storage, clock, uploadKey });
    if (isShared) await content.checkShared?.(client());
    return content;
  }

  async #openEndpoint(): Promise<RegistryEndpoint> {
    const content = await this.#openContent();
    const [{ RegistryEndpoint }, { SiteImages }] = await Promise.all([
      import('./server/registry-endpoint.ts'),
      import('./server/site-images.ts'),
    ]);
    const access = this.#rights();
    const siteImages = new SiteImages({
      fleet: this.#o.fleet,
      content,
      isOwn: (registry) => this.#isOwn(registry),
      mayApplicationsRead: (namespace, repository) => access.mayApplicationsRead(namespace, repository),
    });
    return new RegistryEndpoint({ content, access, siteImages, counts: this.counts, logger: this.#log });
  }
}

function notFor(namespace: string, repository: string): string {
  return `applications of the namespace "${namespace}" may not read ${repository} of the hub's registry: let the group system:serviceaccounts:${namespace} get repositories.selvedge.dev there`;
}
