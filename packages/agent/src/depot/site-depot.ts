import { arch } from 'node:os';
import { mkdir } from 'node:fs/promises';
import type { Clock, DepotPolicy, ImageReference, Logger } from '@selvedge/api';
import type { SiteLogins } from '../credentials/site-logins.ts';
import { SharedWork } from '../concurrency/shared-work.ts';
import { lockDirectory } from '../state/state-lock.ts';
import { BlobFetcher } from './blob-fetcher.ts';
import { BlobFiles } from './blob-files.ts';
import {
  type Depot,
  DepotError,
  type DepotImage,
  type DepotLayer,
  type DepotProgress,
  type DepotRequest,
} from './depot.ts';
import { toDepotError } from './depot-error.ts';
import { DepotServer } from './depot-server.ts';
import { DepotSpace } from './depot-space.ts';
import { FetchMeter } from './fetch-meter.ts';
import { type OpenAtHub, HubRegistryDoor } from './hub-door.ts';
import { getReference, ImageFetcher, type ImageRequest, readManifest } from './image-fetcher.ts';
import {
  allBlobs,
  type ImageRecord,
  ImageRecords,
  keyOfImage,
  keyOfName,
  mayRead,
  sizeOfImage,
} from './image-records.ts';
import { NeededImages } from './needed-images.ts';
import { HttpRegistryDoor, type RegistryDoor } from './registry-door.ts';
import { registryToPath } from './registry-path.ts';
import { RegistryTransport, type RegistryTransportOptions } from './registry-transport.ts';
import { TokenBucket } from './token-bucket.ts';
import { verifyBlobs } from './verify-blobs.ts';

/** What the rest of the agent gives the depot, asked for each time that it is needed. */
export interface DepotSurroundings {
  readonly policy: () => DepotPolicy;
  /** `host[:port]` at which images are the hub's. */
  readonly hubRegistries: () => readonly string[];
  readonly openAtHub: OpenAtHub;
  /** The site's credentials. */
  readonly logins: SiteLogins;
}

export interface SiteDepotOptions extends RegistryTransportOptions {
  /** Made when it is missing. */
  readonly directory: string;
  /** For the nodes of the site; absent: only this machine is served. */
  readonly listen?: { readonly host: string; readonly port: number } | undefined;
  readonly surroundings: DepotSurroundings;
  /** Loaded already. */
  readonly needed?: NeededImages;
  /** Left free on the disk. Default: 5 % of it, at most 1 GiB. */
  readonly reserveBytes?: number | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Milliseconds that never jump. */
  readonly monotonicMs: () => number;
}

const listenRetryMs = 10_000;
const verifiedMs = 600_000;
const useNotedMs = 60_000;
const leftoverMs = 86_400_000;

/** The images of a site in a folder of this machine. */
export class SiteDepot implements Depot {
  readonly #o: SiteDepotOptions;
  readonly #files: BlobFiles;
  readonly #records: ImageRecords;
  readonly #needed: NeededImages;
  readonly #blobs: BlobFetcher;
  readonly #images: ImageFetcher;
  readonly #transport: RegistryTransport;
  readonly #shared = new SharedWork<ImageRecord>();
  /** Who is told how far a fetch is, by its key. */
  readonly #listeners = new Map<string, Set<(progress: DepotProgress) => void>>();
  readonly #servers: DepotServer[] = [];
  readonly #stop = new AbortController();
  readonly #noted = new Map<string, number>();
  /** Images that were found whole when their blobs were as old as that. */
  readonly #verified = new Map<string, { readonly state: string; readonly atMs: number }>();
  #lock: { release(): void } | undefined;
  /** Under way. */
  #fetches = 0;
  /** For this machine's runtime. */
  #port: Promise<number> | undefined;

  private constructor(options: SiteDepotOptions) {
    const { directory, clock, logger, monotonicMs, reserveBytes, surroundings } = options;
    this.#o = options;
    this.#files = new BlobFiles(directory);
    this.#records = new ImageRecords(directory);
    this.#needed = options.needed ?? new NeededImages(directory);
    this.#transport = new RegistryTransport(options);
    const files = this.#files;
    const records = this.#records;
    const bytesPerSecond = () => surroundings.policy().bytesPerSecond;
    const space = new DepotSpace({
      directory,
      files,
      records,
      neededKeys: () => new Set(this.#needed.names.map(keyOfName)),
      maxBytes: () => surroundings.policy().maxBytes,
      reserveBytes,
      clock,
      logger,
    });
    const bucket = new TokenBucket({ bytesPerSecond, clock, monotonicMs });
    this.#blobs = new BlobFetcher({ files, space, bucket, clock, logger });
    this.#images = new ImageFetcher({ files, records, blobs: this.#blobs, space });
  }

  /** Serves at once when there is an address for it; what is in the folder needs neither hub nor registry. */
  static async open(options: SiteDepotOptions): Promise<SiteDepot> {
    const { directory, listen } = options;
    const depot = new SiteDepot(options);
    await mkdir(directory, { recursive: true, mode: 0o700 });
    depot.#lock = lockDirectory(
      directory,
      `another agent has its depot in ${directory}; give this one another --depot`,
    );
    try {
      await depot.#files.prepare();
      await depot.#records.prepare();
      await depot.#files.removeLeftovers(options.clock.now().getTime() - leftoverMs);
      if (options.needed === undefined) await depot.#needed.load();
    } catch (error) {
      depot.#lock.release();
      throw error;
    }
    if (listen !== undefined) void depot.#serve(listen);
    return depot;
  }

  async ensure(image: string, request: DepotRequest): Promise<DepotImage | undefined> {
    const reference = getReference(image);
    const record = await this.#guard(this.#findFor(reference, request));
    const here = record && (await this.#describe(image, record));
    const isEnough = reference.digest !== undefined || request.isFresh !== true;
    if (here !== undefined && (isEnough || !request.mayFetch)) return here;
    if (!request.mayFetch) return undefined;
    try {
      return await this.#describe(image, await this.#fetch(reference, request));
    } catch (error) {
      const isAway = error instanceof DepotError && error.reason === 'Unavailable';
      if (here === undefined || !isAway || request.signal.aborted) throw error;
      this.#o.logger.info('what a tag leads to cannot be looked up now: it leads to what is here', {
        image,
        error: error.message,
      });
      return here;
    }
  }

  async find(image: string): Promise<DepotImage | undefined> {
    const record = await this.#findWhole(getReference(image));
    return record && (await this.#describe(image, record));
  }

  async findLayers(image: string): Promise<readonly DepotLayer[] | undefined> {
    const record = await this.#findWhole(getReference(image));
    for (const { digest } of record?.manifests ?? []) {
      const parsed = (await readManifest(this.#files, digest, record as ImageRecord))?.parsed;
      if (parsed?.kind !== 'image') continue;
      return parsed.layers.map((layer) => ({ ...layer, path: this.#files.pathOf(layer.digest) }));
    }
    return undefined;
  }

  async setNeeded(holder: string, images: readonly string[]): Promise<void> {
    await this.#guard(this.#needed.set(holder, images));
  }

  async needed(): Promise<ReadonlyMap<string, readonly string[]>> {
    return this.#needed.byHolder;
  }

  async doubt(image: string): Promise<boolean> {
    const record = await this.#records.find(keyOfImage(getReference(image)));
    if (record === undefined) return false;
    const verified = this.#verified.get(record.key);
    const now = this.#o.monotonicMs();
    const times = await Promise.all(allBlobs(record).map(({ digest }) => this.#files.findTime(digest)));
    const state = times.join(' ');
    // Whoever cannot use it for another reason asks again and again: a big image is not read whole each time.
    if (verified?.state === state && now - verified.atMs < verifiedMs) return false;
    const damaged = await verifyBlobs(this.#files, allBlobs(record), this.#stop.signal);
    if (damaged.length === 0) this.#verified.set(record.key, { state, atMs: now });
    else this.#verified.delete(record.key);
    for (const digest of damaged) await this.#files.removeBlob(digest);
    if (damaged.length > 0)
      this.#o.logger.warn('the depot lost parts of an image', { image, parts: damaged.length });
    return damaged.length > 0;
  }

  /** What is being fetched breaks off, what has arrived stays. */
  async close(): Promise<void> {
    this.#stop.abort();
    this.#transport.close();
    await Promise.all(this.#servers.map((server) => server.close()));
    this.#lock?.release();
    this.#lock = undefined;
  }

  async #fetch(reference: ImageReference, request: DepotRequest): Promise<ImageRecord> {
    const { namespace, onProgress, isFresh = false } = request;
    const architectures = machinesOf(request.architectures);
    const key = `${namespace} ${isFresh} ${architectures.join(',')} ${keyOfImage(reference)}`;
    const listeners = this.#listeners.get(key) ?? new Set();
    this.#listeners.set(key, listeners);
    if (onProgress !== undefined) listeners.add(onProgress);
    try {
      const signal = AbortSignal.any([request.signal, this.#stop.signal]);
      return await this.#shared.join(key, signal, (until) =>
        this.#fetchNow(reference, {
          architectures,
          namespace,
          isFresh,
          door: this.#doorOf(reference, request),
          tell: (progress) => {
            for (const listener of listeners) listener(progress);
          },
          signal: until,
        }),
      );
    } finally {
      if (onProgress !== undefined) listeners.delete(onProgress);
      if (listeners.size === 0 && this.#listeners.get(key) === listeners) this.#listeners.delete(key);
    }
  }

  async #fetchNow(
    reference: ImageReference,
    how: Pick<ImageRequest, 'architectures' | 'namespace' | 'isFresh' | 'door' | 'signal'> & {
      readonly tell: (progress: DepotProgress) => void;
    },
  ): Promise<ImageRecord> {
    const { clock, logger, monotonicMs } = this.#o;
    const { tell, ...request } = how;
    const { door, signal } = request;
    const done = new AbortController();
    const meter = new FetchMeter({
      clock,
      monotonicMs,
      receivedOf: (blob) => this.#blobs.receivedOf(blob, door.registry),
      onProgress: tell,
    });
    const image = keyOfImage(reference);
    logger.info('bringing an image into the depot', { image });
    const metering = meter.run(AbortSignal.any([signal, done.signal])).catch((error: unknown) => {
      logger.debug('the progress of an image is not known', { image, error });
    });
    this.#fetches += 1;
    try {
      const onParts = (parts: Parameters<FetchMeter['setParts']>[0]) => meter.setParts(parts);
      const record = await this.#images.fetch({ ...request, reference, onParts });
      await meter.look();
      logger.info('an image is in the depot', { image, digest: record.digest, bytes: sizeOfImage(record) });
      return record;
    } catch (error) {
      signal.throwIfAborted();
      throw toDepotError(error, `the depot in ${this.#o.directory} cannot be used`);
    } finally {
      done.abort();
      await metering;
      this.#fetches -= 1;
      // Nothing goes over the link until something is needed again.
      if (this.#fetches === 0) this.#transport.close();
    }
  }

  #doorOf(reference: ImageReference, { namespace, login }: DepotRequest): RegistryDoor {
    const { surroundings } = this.#o;
    if (surroundings.hubRegistries().includes(reference.host)) {
      return new HubRegistryDoor(reference, surroundings.openAtHub);
    }
    const repository = `${reference.registry}/${reference.repository}`;
    return new HttpRegistryDoor({
      transport: this.#transport,
      reference,
      findLogin: async (question) =>
        login ?? (await surroundings.logins.find({ namespace, repository, ...question })),
    });
  }

  async #findWhole(reference: ImageReference): Promise<ImageRecord | undefined> {
    const record = await this.#records.find(keyOfImage(reference));
    if (record === undefined || !(await this.#isWhole(record))) return undefined;
    await this.#records.noteUse(record.key, this.#o.clock.now());
    return record;
  }

  /** With all that these machines take of it, and only when this namespace may have it. */
  async #findFor(
    reference: ImageReference,
    { namespace, architectures }: DepotRequest,
  ): Promise<ImageRecord | undefined> {
    const record = await this.#findWhole(reference);
    if (record === undefined || !mayRead(record, namespace)) return undefined;
    const root = await readManifest(this.#files, record.digest, record);
    if (root?.parsed.kind !== 'index') return record;
    const index = root.parsed;
    const here = new Set(record.manifests.map(({ digest }) => digest));
    const wanted = machinesOf(architectures).flatMap((architecture) => index.choose(architecture) ?? []);
    return wanted.length > 0 && wanted.every((digest) => here.has(digest)) ? record : undefined;
  }

  async #isWhole(record: ImageRecord): Promise<boolean> {
    for (const blob of allBlobs(record)) if (!(await this.#files.has(blob))) return false;
    return true;
  }

  async #describe(name: string, record: ImageRecord): Promise<DepotImage> {
    const { registry, repository, digest } = record;
    const port = await this.#guard(this.#localPort());
    const pullReference = `127.0.0.1:${port}/${registryToPath(registry)}/${repository}@${digest}`;
    return { name, digest, sizeBytes: sizeOfImage(record), pullReference };
  }

  /** Opened when it is first needed. */
  #localPort(): Promise<number> {
    if (this.#port !== undefined) return this.#port;
    const server = this.#newServer();
    this.#port = server.listen('127.0.0.1', 0);
    this.#port.catch(() => {
      this.#port = undefined;
    });
    return this.#port;
  }

  /** A port that somebody else has may be free later; what the site runs does not wait for it. */
  async #serve({ host, port }: { host: string; port: number }): Promise<void> {
    const { clock, logger } = this.#o;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      const server = this.#newServer();
      try {
        const taken = await server.listen(host, port);
        logger.info('the depot serves', { host, port: taken });
        return;
      } catch (error) {
        this.#servers.splice(this.#servers.indexOf(server), 1);
        logger.error('the depot cannot serve at --depot-listen; trying again', { host, port, error });
        await clock.sleep(listenRetryMs, signal);
      }
    }
  }

  #newServer(): DepotServer {
    const server = new DepotServer({
      files: this.#files,
      records: this.#records,
      onUse: ({ key }) => this.#noteUse(key),
      logger: this.#o.logger,
    });
    this.#servers.push(server);
    return server;
  }

  #noteUse(key: string): void {
    const now = this.#o.monotonicMs();
    if (now - (this.#noted.get(key) ?? Number.NEGATIVE_INFINITY) < useNotedMs) return;
    this.#noted.set(key, now);
    void this.#records.noteUse(key, this.#o.clock.now());
  }

  async #guard<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      throw toDepotError(error, `the depot in ${this.#o.directory} cannot be used`);
    }
  }
}

const architectures: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386' };
const thisArchitecture = architectures[arch()] ?? arch();

function machinesOf(given: readonly string[] | undefined): readonly string[] {
  return given === undefined || given.length === 0 ? [thisArchitecture] : given;
}
