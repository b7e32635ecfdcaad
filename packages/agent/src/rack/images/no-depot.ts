import type { ArtifactSource } from './artifact-source.ts';
import { ImageFault } from './image-fault.ts';

/** Of an agent that keeps no images: what was unpacked before is still good, nothing else comes. */
export const noDepot: ArtifactSource = {
  bring: async () => {
    throw new ImageFault(
      'ImageUnavailable',
      'this agent has no depot to fetch images into: start it with --depot DIR (and without --no-depot)',
    );
  },
  setNeeded: async () => {},
  doubt: async () => false,
};
