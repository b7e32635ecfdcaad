import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { MachineArchitecture, RackInspectionImage } from '@selvedge/api';
import type { ArtifactUse } from './artifact-keeper.ts';
import type { ArtifactLayer } from './artifact-source.ts';
import { ImageFault } from './image-fault.ts';
import { verifyLayer } from './image-store.ts';

const namePattern = /^\w[\w.-]{0,100}$/;
/** Without these no machine boots the inspection system. */
const neededFiles = ['vmlinuz', 'initrd.img'];

interface BootFile extends ArtifactLayer {
  /** As it was when it was verified. */
  readonly mtimeMs: number;
}

/** The files of one artifact with an inspection system: its layers, by their title. */
export class BootFiles implements ArtifactUse {
  readonly #image: RackInspectionImage;
  #files: ReadonlyMap<string, BootFile> = new Map();

  constructor(image: RackInspectionImage) {
    this.#image = image;
  }

  get name(): string {
    return this.#image.name;
  }

  get reference(): string {
    return this.#image.reference;
  }

  get digest(): string {
    return this.reference.slice(this.reference.indexOf('@') + 1);
  }

  get namespace(): string {
    return this.#image.namespace ?? 'default';
  }

  get architecture(): MachineArchitecture {
    return this.#image.architecture;
  }

  /** Whole, and as it was when it was verified. */
  async isHere(): Promise<boolean> {
    if (this.#files.size === 0) return false;
    for (const file of this.#files.values()) if (!(await isUnchanged(file))) return false;
    return true;
  }

  async make(layers: readonly ArtifactLayer[], signal: AbortSignal): Promise<void> {
    const files = new Map<string, BootFile>();
    for (const layer of layers) {
      const { title } = layer;
      if (title === undefined || !namePattern.test(title)) continue;
      await verifyLayer(layer, signal);
      files.set(title, { ...layer, mtimeMs: (await stat(layer.path)).mtimeMs });
    }
    const missing = neededFiles.filter((name) => !files.has(name));
    if (missing.length > 0) {
      throw new ImageFault(
        'ImageMismatch',
        `image ${this.name} has no layers with the title ${missing.join(', ')}: make it with selvedge machine-image build-inspection`,
      );
    }
    this.#files = files;
  }

  /** Undefined: there is no such file, or it is no longer what it was. */
  async find(name: string): Promise<string | undefined> {
    const file = this.#files.get(name);
    return file !== undefined && (await isUnchanged(file)) ? file.path : undefined;
  }

  has(name: string): boolean {
    return this.#files.has(name);
  }
}

async function isUnchanged({ path, sizeBytes, mtimeMs }: BootFile): Promise<boolean> {
  const facts = await stat(path).catch(() => undefined);
  return facts?.size === sizeBytes && facts.mtimeMs === mtimeMs;
}

/** A boot file in a folder that a person made: in the folder for the architecture, or for all. */
export async function findInFolder(
  folder: string,
  architecture: MachineArchitecture,
  name: string,
): Promise<string | undefined> {
  if (!namePattern.test(name)) return undefined;
  for (const path of [join(folder, architecture, name), join(folder, name)]) {
    const facts = await stat(path).catch(() => undefined);
    if (facts?.isFile() === true) return path;
  }
  return undefined;
}
