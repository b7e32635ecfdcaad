import type { MachineErrorReason } from '@selvedge/api';

/** Why a disk image cannot be had; the message names what to do. */
export class ImageFault extends Error {
  override readonly name = 'ImageFault';
  readonly reason: Extract<MachineErrorReason, 'ImageUnavailable' | 'ImageMismatch'>;

  constructor(reason: ImageFault['reason'], message: string, options: { cause?: unknown } = {}) {
    super(message, options);
    this.reason = reason;
  }
}
