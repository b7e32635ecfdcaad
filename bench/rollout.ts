import { join } from 'node:path';
import { runProgram } from '../quickstart/lab/run-program.ts';
import type { Figure } from './figure.ts';
import { measureActivation } from './rollout/activation-skew.ts';
import { measureDecisions } from './rollout/decision-time.ts';

export interface RolloutBenchOptions {
  /** Of the fleet for which the engine decides. */
  readonly sites: number;
  /** Real agents that activate together. */
  readonly agents: number;
  /** Folder for the data of the hub and the agents. */
  readonly data: string | undefined;
}

/** How fast the rollout engine decides for a large fleet, and how closely together sites activate at an instant. */
export async function benchRollout(
  { sites, agents, data }: RolloutBenchOptions,
  tell: (line: string) => void,
): Promise<Figure[]> {
  tell('building the programs');
  await runProgram([process.execPath, join(import.meta.dirname, '../tools/build.ts')]);
  return [...measureDecisions(sites, tell), ...(await measureActivation({ agents, data }, tell))];
}
