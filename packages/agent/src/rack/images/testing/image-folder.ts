import { mkdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { RackImage, RackInspectionImage } from '@selvedge/api';
import { sha256Digest } from '@selvedge/api/node';
import { DepotError } from '../../../depot/depot.ts';
import type { ArtifactLayer, ArtifactRequest, ArtifactSource } from '../artifact-source.ts';

/** Artifacts in a folder of this machine: what a depot gives, without registry and fetching. */
export class ImageFolder implements ArtifactSource {
  readonly #directory: string;
  readonly #artifacts = new Map<string, readonly ArtifactLayer[]>();
  /** What was said to be needed last. */
  needed: readonly string[] = [];

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** A disk image, as its file is. */
  async add(
    bytes: Uint8Array,
    image: Pick<RackImage, 'name'> & Partial<Omit<RackImage, 'digest' | 'sizeBytes' | 'reference'>>,
  ): Promise<RackImage> {
    const layer = await this.#write(bytes, 'disk.img');
    return {
      architecture: 'amd64',
      bootModes: ['BIOS', 'UEFI'],
      format: 'Raw',
      confirmation: 'CloudInit',
      ...image,
      reference: this.#note(image.name, [layer]),
      digest: layer.digest,
      sizeBytes: layer.sizeBytes,
    };
  }

  /** An inspection system: files by name. */
  async addBootFiles(
    name: string,
    files: Readonly<Record<string, Uint8Array>>,
  ): Promise<RackInspectionImage> {
    const layers: ArtifactLayer[] = [];
    for (const [title, bytes] of Object.entries(files)) layers.push(await this.#write(bytes, title));
    return { name, architecture: 'amd64', reference: this.#note(name, layers) };
  }

  async bring(request: ArtifactRequest): Promise<readonly ArtifactLayer[] | undefined> {
    const layers = this.#artifacts.get(request.reference);
    if (layers === undefined) {
      throw new DepotError('NotFound', `there is no ${request.reference}`, { isLasting: true });
    }
    const sizes = await Promise.all(layers.map(({ path }) => stat(path).catch(() => undefined)));
    if (sizes.every((facts, index) => facts?.size === layers[index]?.sizeBytes)) return layers;
    if (!request.mayFetch) return undefined;
    throw new DepotError('Unavailable', 'the registry is away', { isLasting: false });
  }

  async setNeeded(references: readonly string[]): Promise<void> {
    this.needed = references;
  }

  async doubt(): Promise<boolean> {
    return false;
  }

  async #write(bytes: Uint8Array, title: string): Promise<ArtifactLayer> {
    await mkdir(this.#directory, { recursive: true });
    const digest = sha256Digest(bytes);
    const path = join(this.#directory, digest.slice('sha256:'.length));
    await writeFile(path, bytes);
    return { title, digest, sizeBytes: bytes.length, path };
  }

  #note(name: string, layers: readonly ArtifactLayer[]): string {
    const digest = sha256Digest(JSON.stringify(layers.map((layer) => layer.digest)));
    const reference = `registry.test/machines/${name}@${digest}`;
    this.#artifacts.set(reference, layers);
    return reference;
  }
}
