import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { AgentInfo, Clock, Logger } from '@selvedge/api';
import { runAgent } from '../agent.ts';
import { createPodmanDriver } from '../drivers/podman/podman-driver.ts';
import { EnrolmentRefused } from '../enrolment/enrolment-refused.ts';
import type { ProxySettings } from '../hub-connection/proxy-settings.ts';
import { PodmanService } from '../podman-service.ts';

export interface RunOptions {
  readonly stateDir: string;
  readonly token?: string;
  readonly tokenFile?: string;
  /** Absent: the agent starts `podman system service` itself. */
  readonly podmanSocket?: string;
  readonly podCidr: string;
  readonly hostIp: string;
  readonly insecureRegistries: readonly string[];
  readonly longestWaitSeconds: number;
  readonly machine: Omit<AgentInfo, 'runtime'>;
  readonly proxies: ProxySettings;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Folder of this user for sockets, when the state directory's path is too long for one. */
  readonly runtimeDir: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Runs an agent with the Podman driver until the signal fires. */
export async function run(options: RunOptions, signal: AbortSignal): Promise<void> {
  const { stateDir, clock, logger } = options;
  const token = options.token ?? (await readTokenFile(options.tokenFile));
  let service: PodmanService | undefined;
  let starting: Promise<void> | undefined;
  try {
    await runAgent(
      {
        stateDir,
        ...(token === undefined ? {} : { token }),
        machine: options.machine,
        proxies: options.proxies,
        clock,
        logger,
        longestWaitSeconds: options.longestWaitSeconds,
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

async function readTokenFile(path: string | undefined): Promise<string | undefined> {
  if (path === undefined) return undefined;
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new EnrolmentRefused(`the token file ${path} cannot be read; check --token-file`, { cause });
  }
}
