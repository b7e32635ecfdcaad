import { type Clock, type Logger, type ObjectClient, type Site, sites } from '@selvedge/api';
import { createInformer, type Informer } from '@selvedge/kube';

/** The Site objects, in memory: looked at on every contact. */
export class SiteDirectory {
  readonly #client: ObjectClient;
  readonly #informer: Informer<Site>;
  readonly #stop = new AbortController();
  #running: Promise<void> | undefined;

  constructor(options: { client: ObjectClient; clock: Clock; logger: Logger }) {
    this.#client = options.client;
    this.#informer = createInformer<Site>({ ...options, resource: sites });
  }

  /** Resolves when the directory is complete. @param onChange called with the name of every site that came, changed or went. */
  async start(onChange: (site: string) => void): Promise<void> {
    const changed = (site: Site) => onChange(site.metadata.name);
    this.#informer.onChange({ add: changed, update: changed, delete: changed });
    this.#running = this.#informer.run(this.#stop.signal);
    await this.#informer.synced;
  }

  /** As last heard; may lag by an instant. */
  find(site: string): Site | undefined {
    return this.#informer.find({ name: site });
  }

  list(): readonly Site[] {
    return this.#informer.list();
  }

  /** As it is now. */
  findNow(site: string): Promise<Site | undefined> {
    return this.#client.find<Site>(sites, { name: site });
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }
}
