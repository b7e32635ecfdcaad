import { join } from 'node:path';
import { runProgram } from '../quickstart/lab/run-program.ts';
import type { Figure } from './figure.ts';
import { measureChangedTag } from './sources/changed-tag.ts';
import { measureImageBytes } from './sources/image-bytes.ts';
import { measureRendering } from './sources/render-time.ts';

export interface SourcesBenchOptions {
  /** Real agents that take the application. */
  readonly agents: number;
  /** Folder for the data of the hub and the agents. */
  readonly data: string | undefined;
}

/** What applications cost on the links of sites, and what it costs to make them for many sites that differ. */
export async function benchSources(
  options: SourcesBenchOptions,
  tell: (line: string) => void,
): Promise<Figure[]> {
  tell('building the programs');
  await runProgram([process.execPath, join(import.meta.dirname, '../tools/build.ts')]);
  return [
    ...measureRendering(tell),
    ...(await measureImageBytes(tell)),
    ...(await measureChangedTag(options, tell)),
  ];
}
