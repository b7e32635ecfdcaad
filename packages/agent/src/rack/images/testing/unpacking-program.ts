import { readFile } from 'node:fs/promises';
import type { RackImage } from '@selvedge/api';
import { createLogger, systemClock } from '@selvedge/api/node';
import { RackImageLibrary } from '../rack-image-library.ts';
import type { ArtifactLayer } from '../artifact-source.ts';

/** A process that unpacks a disk image until it is killed: `unpacking-program.ts DIRECTORY FILE`, a file with the image and its layer. */
const [directory = '', file = ''] = process.argv.slice(2);
const { image, layer } = JSON.parse(await readFile(file, 'utf8')) as {
  image: RackImage;
  layer: ArtifactLayer;
};
const library = await RackImageLibrary.open({
  directory,
  artifacts: { bring: async () => [layer], setNeeded: async () => {}, doubt: async () => false },
  reserveBytes: 0,
  clock: systemClock,
  logger: createLogger({ level: 'fatal' }),
});
library.setWanted([image], [], false);
