import type { Clock, Logger } from '@selvedge/api';
import type { Depot } from '../../depot/depot.ts';
import { DepotArtifacts } from './depot-artifacts.ts';
import type { ImageLibrary } from './image-library.ts';
import { noDepot } from './no-depot.ts';
import { RackImageLibrary } from './rack-image-library.ts';

export interface OpenImageLibraryOptions {
  /** Of unpacked disks; made when it is missing. */
  readonly directory: string;
  /** Of the site. Absent: only boot files of the folder, and what was unpacked before; the states say so. */
  readonly depot?: Depot | undefined;
  /** Folder of boot files that go before those of artifacts: `ARCHITECTURE/NAME`, or `NAME` for all. */
  readonly bootFilesDir?: string | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** The images of a rack, out of the depot of its site. */
export async function openImageLibrary(options: OpenImageLibraryOptions): Promise<ImageLibrary> {
  const { depot, bootFilesDir, ...others } = options;
  const artifacts = depot === undefined ? noDepot : new DepotArtifacts(depot);
  return await RackImageLibrary.open({ ...others, artifacts, bootFiles: bootFilesDir });
}
