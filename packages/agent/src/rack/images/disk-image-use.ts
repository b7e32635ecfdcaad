import type { MachineArchitecture, RackImage } from '@selvedge/api';
import type { ArtifactUse } from './artifact-keeper.ts';
import type { ArtifactLayer } from './artifact-source.ts';
import { ImageFault } from './image-fault.ts';
import { type ImageStore, keyOfDisk } from './image-store.ts';
import type { PreparedDisk } from './prepared-disk.ts';

/** One disk image as the order names it. */
export class DiskImageUse implements ArtifactUse {
  readonly image: RackImage;
  readonly #store: ImageStore;

  constructor(image: RackImage, store: ImageStore) {
    this.image = image;
    this.#store = store;
  }

  get name(): string {
    return this.image.name;
  }

  get digest(): string {
    return this.image.digest;
  }

  get reference(): string {
    return this.image.reference;
  }

  get namespace(): string {
    return this.image.namespace ?? 'default';
  }

  get architecture(): MachineArchitecture {
    return this.image.architecture;
  }

  async isHere(): Promise<boolean> {
    const disk = await this.#store.find(keyOfDisk(this.image));
    if (disk === undefined) return false;
    this.#check(disk);
    return true;
  }

  async make(layers: readonly ArtifactLayer[], signal: AbortSignal): Promise<void> {
    const { name, digest, reference } = this.image;
    const layer = layers.find((one) => one.digest === digest);
    if (layer === undefined) {
      const has = layers.map((one) => one.digest).join(', ') || 'none';
      throw new ImageFault(
        'ImageMismatch',
        `image ${name}: ${reference} has no layer ${digest} (MachineImage.spec.digest), its layers are: ${has}`,
      );
    }
    this.#check(await this.#store.prepare(this.image, layer, signal));
  }

  /** It may have been unpacked for another image with the same layer. */
  #check(disk: PreparedDisk): void {
    const { name, diskBytes } = this.image;
    if (diskBytes === undefined || disk.diskBytes <= diskBytes) return;
    throw new ImageFault(
      'ImageMismatch',
      `the disk in image ${name} has ${disk.diskBytes} bytes, more than MachineImage.spec.diskBytes says (${diskBytes})`,
    );
  }
}
