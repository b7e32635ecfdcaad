import { createHash } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm, stat, statfs, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock, Logger, RackImage } from '@selvedge/api';
import { syncDirectory, writeFileAtomically } from '@selvedge/api/node';
import { ParallelLimit } from '../../concurrency/parallel-limit.ts';
import { isDiskFull } from '../../depot/depot-error.ts';
import { shownSize } from '../../depot/depot-space.ts';
import type { ArtifactLayer } from './artifact-source.ts';
import { ChunkMap } from './chunk-map.ts';
import { ImageFault } from './image-fault.ts';
import { PreparedDisk } from './prepared-disk.ts';
import { unpackImage } from './unpack-image.ts';

export interface ImageStoreOptions {
  /** Made when it is missing. */
  readonly directory: string;
  /** Left free on the disk. Default: 5 % of it, at most 1 GiB. */
  readonly reserveBytes?: number | undefined;
  readonly xz?: string | undefined;
  /** Told when a disk turns out to be damaged; it is removed already. */
  readonly onDamaged: (key: string) => void;
  readonly clock: Clock;
  readonly logger: Logger;
}

const reserveFraction = 0.05;
const longestReserveBytes = 2 ** 30;
const roomCheckBytes = 64 * 1024 * 1024;

/**
 * Unpacked disks in a folder: `<key>.raw`, and `<key>.map` beside it once it is whole. Whoever is killed leaves files that are removed with the next start.
 */
export class ImageStore {
  readonly #o: ImageStoreOptions;
  readonly #disks = new Map<string, PreparedDisk>();
  /** One at a time: unpacking takes a processor and memory. */
  readonly #turns = new ParallelLimit(1);
  /** Under way, by key: nothing of such a disk is used or written until then. */
  readonly #removals = new Map<string, Promise<void>>();
  #wanted: ReadonlySet<string> = new Set();

  private constructor(options: ImageStoreOptions) {
    this.#o = options;
  }

  static async open(options: ImageStoreOptions): Promise<ImageStore> {
    const { directory } = options;
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const names = new Set(await readdir(directory));
    for (const name of names) {
      const [, key = '', kind = ''] = /^([0-9a-f]{64}-[a-z0-9]+)\.(.+)$/.exec(name) ?? [];
      const isWhole = names.has(`${key}.raw`) && names.has(`${key}.map`);
      if (key !== '' && !(isWhole && (kind === 'raw' || kind === 'map'))) await rm(join(directory, name));
    }
    return new ImageStore(options);
  }

  /** What these are is not given up for space. */
  setWanted(keys: ReadonlySet<string>): void {
    this.#wanted = keys;
  }

  /** The disk, when it is whole here. */
  async find(key: string): Promise<PreparedDisk | undefined> {
    await this.#removals.get(key);
    return this.#disks.get(key) ?? (await this.#load(key));
  }

  /** Unpacks the disk, if it is not here. Throws ImageFault, LayerDamaged, or with the signal. */
  async prepare(image: RackImage, layer: ArtifactLayer, signal: AbortSignal): Promise<PreparedDisk> {
    return await this.#turns.run(async () => {
      const key = keyOfDisk(image);
      const found = await this.find(key);
      if (found !== undefined) return found;
      try {
        return await this.#unpack(image, layer, signal);
      } catch (error) {
        signal.throwIfAborted();
        if (!isDiskFull(error)) throw error;
        throw await this.#shortage(error);
      }
    }, signal);
  }

  /** Until it is prepared anew. */
  async remove(key: string): Promise<void> {
    this.#disks.delete(key);
    const removal = this.#removals.get(key) ?? this.#remove(key).finally(() => this.#removals.delete(key));
    this.#removals.set(key, removal);
    await removal;
  }

  /** Gives up disks that nobody wants and nobody has wanted for so long, those first that were wanted last. @returns how many. */
  async evict({
    idleMs,
    most = Number.POSITIVE_INFINITY,
  }: {
    idleMs: number;
    most?: number;
  }): Promise<number> {
    const { clock, logger, directory } = this.#o;
    const now = clock.now();
    const idle: { key: string; usedMs: number }[] = [];
    for (const name of await readdir(directory)) {
      if (!name.endsWith('.map')) continue;
      const key = name.slice(0, -'.map'.length);
      const path = join(directory, name);
      const usedMs = (await stat(path)).mtimeMs;
      if (this.#wanted.has(key)) await utimes(path, now, now);
      else if (now.getTime() - usedMs >= idleMs) idle.push({ key, usedMs });
    }
    const given = idle.sort((a, b) => a.usedMs - b.usedMs).slice(0, most);
    for (const { key } of given) {
      await this.remove(key);
      logger.info('an unpacked disk image that no machine is to have is given up', { image: key });
    }
    return given.length;
  }

  async #remove(key: string): Promise<void> {
    // The map first: without it the rest counts for nothing.
    for (const kind of ['map', 'raw']) await rm(this.#path(key, kind), { force: true });
  }

  async #unpack(image: RackImage, layer: ArtifactLayer, signal: AbortSignal): Promise<PreparedDisk> {
    const { logger, xz, directory } = this.#o;
    const key = keyOfDisk(image);
    await verifyLayer(layer, signal);
    logger.info('unpacking a disk image', { image: image.name, digest: image.digest });
    const target = this.#path(key, 'tmp');
    try {
      const map = await unpackImage({
        source: layer.path,
        format: image.format,
        target,
        checkRoom: this.#roomCheck(image),
        xz,
        signal,
      });
      await rename(target, this.#path(key, 'raw'));
      await syncDirectory(directory);
      await writeFileAtomically(this.#path(key, 'map'), map.serialize());
      logger.info('a disk image is ready', { image: image.name, digest: image.digest, bytes: map.diskBytes });
    } finally {
      await rm(target, { force: true });
    }
    const disk = await this.#load(key);
    if (disk === undefined) throw new Error('the disk image was removed by somebody else');
    return disk;
  }

  async #load(key: string): Promise<PreparedDisk | undefined> {
    const path = this.#path(key, 'raw');
    let bytes: Buffer;
    let size: number;
    try {
      bytes = await readFile(this.#path(key, 'map'));
      ({ size } = await stat(path));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
    const map = ChunkMap.parse(bytes);
    if (map === undefined || map.diskBytes !== size) {
      await this.remove(key);
      return undefined;
    }
    const known = this.#disks.get(key);
    if (known !== undefined) return known;
    const digest = `sha256:${key.slice(0, 64)}`;
    const disk = new PreparedDisk({ digest, path, map, onDamaged: (error) => this.#damaged(key, error) });
    this.#disks.set(key, disk);
    return disk;
  }

  #damaged(key: string, error: Error): void {
    const { logger, onDamaged } = this.#o;
    // Others may have said so already.
    if (!this.#disks.delete(key)) return;
    logger.warn('an unpacked disk image is damaged; it is prepared again', { image: key, error });
    this.remove(key).then(
      () => onDamaged(key),
      (cause: unknown) =>
        logger.error('a damaged disk image cannot be removed', { image: key, error: cause }),
    );
  }

  #roomCheck({ name, diskBytes: most }: RackImage): (diskBytes: number) => Promise<void> {
    let checkedBytes = Number.NEGATIVE_INFINITY;
    return async (diskBytes) => {
      if (most !== undefined && diskBytes > most) {
        throw new ImageFault(
          'ImageMismatch',
          `the disk in image ${name} is larger than the ${most} bytes that MachineImage.spec.diskBytes says`,
        );
      }
      if (diskBytes !== 0 && diskBytes - checkedBytes < roomCheckBytes) return;
      checkedBytes = diskBytes;
      while ((await this.#freeBytes()) < 0) {
        if ((await this.evict({ idleMs: 0, most: 1 })) === 0) throw await this.#shortage();
      }
    };
  }

  /** Beyond what stays in reserve. */
  async #freeBytes(): Promise<number> {
    const { directory, reserveBytes } = this.#o;
    const { bavail, blocks, bsize } = await statfs(directory);
    const usual = Math.min(longestReserveBytes, Math.floor(blocks * bsize * reserveFraction));
    return bavail * bsize - (reserveBytes ?? usual);
  }

  async #shortage(cause?: unknown): Promise<ImageFault> {
    const { directory } = this.#o;
    const { bavail, bsize } = await statfs(directory);
    return new ImageFault(
      'ImageUnavailable',
      `the disk image does not fit unpacked: ${shownSize(bavail * bsize)} are free below ${directory}; free some space, it goes on by itself`,
      { cause },
    );
  }

  #path(key: string, kind: string): string {
    return join(this.#o.directory, `${key}.${kind}`);
  }
}

/** What is in the depot is not what its digest says (a broken disk). */
export class LayerDamaged extends Error {
  override readonly name = 'LayerDamaged';
}

/** Throws LayerDamaged, or with the signal. */
export async function verifyLayer({ path, digest }: ArtifactLayer, signal: AbortSignal): Promise<void> {
  const hash = createHash('sha256');
  // One buffer for all: it is read as fast as the disk gives it.
  const buffer = Buffer.allocUnsafeSlow(256 * 1024);
  try {
    const file = await open(path, 'r');
    try {
      for (let position = 0; ; ) {
        signal.throwIfAborted();
        const { bytesRead } = await file.read(buffer, 0, buffer.length, position);
        if (bytesRead === 0) break;
        hash.update(buffer.subarray(0, bytesRead));
        position += bytesRead;
      }
    } finally {
      await file.close();
    }
  } catch (cause) {
    signal.throwIfAborted();
    const { code } = cause as NodeJS.ErrnoException;
    if (code !== 'EIO' && code !== 'ENOENT') throw cause;
    throw new LayerDamaged(`${digest} cannot be read in the depot`, { cause });
  }
  if (`sha256:${hash.digest('hex')}` !== digest) throw new LayerDamaged(`${digest} is damaged in the depot`);
}

/** The same layer is another disk when it is read in another format. */
export function keyOfDisk({ digest, format }: Pick<RackImage, 'digest' | 'format'>): string {
  if (!/^sha256:[0-9a-f]{64}$/.test(digest)) {
    throw new ImageFault('ImageUnavailable', `${digest.slice(0, 100)} is no digest of an image`);
  }
  return `${digest.slice('sha256:'.length)}-${format.toLowerCase()}`;
}
