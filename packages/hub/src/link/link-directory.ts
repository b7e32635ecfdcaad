import {
  type Clock,
  isAlreadyExists,
  isConflict,
  isNotFound,
  type Lease,
  leases,
  type Logger,
  namespaces,
  type ObjectClient,
} from '@selvedge/api';
import { createInformer, type Informer } from '@selvedge/kube';

/** Where in the hub's own API the Leases are. */
export const linksNamespace = 'selvedge-links';
const prefix = 'link-';
/** RFC 3339: until then a hub wants the link of this site. */
const wantedAnnotation = 'selvedge.dev/link-wanted-until';

export interface LinkDirectoryOptions {
  readonly client: ObjectClient;
  /** Where the other hubs reach this one. */
  readonly ownUrl: () => string;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Says among the hubs on one database which of them has the link of a site: a Lease for each, whose holder is that hub's address.
 * It is written when a link comes and goes and when one is wanted, never while one is open: an address where nobody answers any more is
 * found out by asking there.
 */
export class LinkDirectory {
  readonly #o: LinkDirectoryOptions;
  readonly #informer: Informer<Lease>;
  readonly #stop = new AbortController();
  readonly #listeners = new Set<(site: string) => void>();
  #running: Promise<void> | undefined;

  constructor(options: LinkDirectoryOptions) {
    this.#o = options;
    this.#informer = createInformer<Lease>({ ...options, resource: leases, namespace: linksNamespace });
  }

  /** Resolves when the others' links are known. */
  async start(): Promise<void> {
    const changed = ({ metadata: { name } }: Lease) => {
      if (!name.startsWith(prefix)) return;
      for (const listener of this.#listeners) listener(name.slice(prefix.length));
    };
    this.#informer.onChange({ add: changed, update: changed, delete: changed });
    this.#running = this.#informer.run(this.#stop.signal);
    await this.#informer.synced;
  }

  onChange(listener: (site: string) => void): void {
    this.#listeners.add(listener);
  }

  /** Address of the other hub that has the link, as last heard. */
  holder(site: string): string | undefined {
    const holder = this.#find(site)?.spec?.holderIdentity;
    return holder === undefined || holder === '' || holder === this.#o.ownUrl() ? undefined : holder;
  }

  wantedUntil(site: string): Date | undefined {
    const text = this.#find(site)?.metadata.annotations?.[wantedAnnotation];
    const time = new Date(text ?? '');
    return Number.isNaN(time.getTime()) ? undefined : time;
  }

  /** The link is here. */
  announce(site: string): Promise<void> {
    const now = this.#o.clock.now().toISOString().replace('Z', '000Z');
    return this.#write(site, {
      metadata: { annotations: { [wantedAnnotation]: null } },
      spec: { holderIdentity: this.#o.ownUrl(), acquireTime: now, renewTime: now },
    });
  }

  want(site: string, until: Date): Promise<void> {
    return this.#write(site, { metadata: { annotations: { [wantedAnnotation]: until.toISOString() } } });
  }

  /** The link is no longer here. One that has come to another hub meanwhile stays. Never rejects. */
  async withdraw(site: string): Promise<void> {
    const { client, logger, ownUrl } = this.#o;
    const name = { namespace: linksNamespace, name: prefix + site };
    try {
      const lease = await client.find<Lease>(leases, name);
      if (lease?.spec?.holderIdentity !== ownUrl()) return;
      const { resourceVersion } = lease.metadata;
      await client.delete(
        leases,
        name,
        resourceVersion === undefined ? {} : { preconditions: { resourceVersion } },
      );
    } catch (error) {
      if (!isNotFound(error) && !isConflict(error)) logger.warn('the Lease of a link stays', { site, error });
    }
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  #find(site: string): Lease | undefined {
    return this.#informer.find({ namespace: linksNamespace, name: prefix + site });
  }

  /** Never rejects: without the entry the link still serves those who ask here. */
  async #write(
    site: string,
    patch: Pick<Lease, 'spec'> & { metadata: { annotations: Record<string, unknown> } },
  ) {
    const { client, logger } = this.#o;
    const name = prefix + site;
    try {
      for (let attempt = 0; attempt < 3; attempt++) {
        try {
          await client.mergePatch<Lease>(leases, { namespace: linksNamespace, name }, patch);
          return;
        } catch (error) {
          if (!isNotFound(error)) throw error;
        }
        await this.#make(name);
      }
    } catch (error) {
      logger.warn('the Lease of a link could not be written', { site, error });
    }
  }

  async #make(name: string): Promise<void> {
    const { client } = this.#o;
    const lease: Lease = {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: { name, namespace: linksNamespace },
      spec: {},
    };
    const create = async <T>(made: Promise<T>) => {
      try {
        await made;
      } catch (error) {
        // Another hub was faster.
        if (!isAlreadyExists(error)) throw error;
      }
    };
    try {
      await create(client.create<Lease>(leases, lease));
    } catch (error) {
      if (!isNotFound(error)) throw error;
      const metadata = { name: linksNamespace };
      await create(client.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata }));
      await create(client.create<Lease>(leases, lease));
    }
  }
}
