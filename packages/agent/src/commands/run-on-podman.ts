import { join } from 'node:path';
import { type AgentOptions, runAgent } from '../agent.ts';
import { createPodmanDriver } from '../drivers/podman/podman-driver.ts';
import { PodmanService } from '../podman-service.ts';
import type { RunOptions } from './run.ts';

/** Runs an agent with the Podman driver until the signal fires; starts `podman system service` when no socket is given. */
export async function runOnPodman(
  agent: Omit<AgentOptions, 'createDriver'>,
  options: RunOptions,
  signal: AbortSignal,
): Promise<void> {
  const { stateDir, clock, logger } = options;
  let service: PodmanService | undefined;
  let starting: Promise<void> | undefined;
  try {
    await runAgent(
      {
        ...agent,
        createDriver: (context) => {
          // Here, because now the state directory is this agent's alone.
          if (options.podmanSocket === undefined && service === undefined) {
            service = new PodmanService({
              ...options,
              logger: logger.child({ component: 'podman-service' }),
            });
            starting = service.start();
          }
          return createPodmanDriver({
            ...context,
            socketPath: options.podmanSocket ?? (service as PodmanService).socketPath,
            stateDir: join(stateDir, 'podman'),
            podCidr: options.podCidr,
            hostIp: options.hostIp,
            insecureRegistries: options.insecureRegistries,
            clock,
            logger: logger.child({ component: 'podman' }),
          });
        },
      },
      signal,
    );
  } finally {
    await service?.stop();
    await starting;
  }
}
