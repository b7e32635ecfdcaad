import { type AgentOptions, runAgent } from '../agent.ts';
import { NoRuntimeDriver } from '../drivers/none/no-runtime-driver.ts';

/** Runs an agent that runs no applications, until the signal fires. */
export async function runWithoutRuntime(
  agent: Omit<AgentOptions, 'createDriver'>,
  signal: AbortSignal,
): Promise<void> {
  await runAgent({ ...agent, createDriver: () => new NoRuntimeDriver(agent.clock) }, signal);
}
