import { readFile } from 'node:fs/promises';
import type { AgentInfo, Clock, LinkAccess, Logger } from '@selvedge/api';
import type { AgentOptions, DepotOptions } from '../agent.ts';
import { EnrolmentRefused } from '../enrolment/enrolment-refused.ts';
import { readExtraCas } from '../hub-connection/extra-cas.ts';
import type { ProxySettings } from '../hub-connection/proxy-settings.ts';
import type { RackOptions } from '../rack/rack-role.ts';
import type { KubernetesFlags } from './kubernetes-flags.ts';
import type { Runtime } from './rack-flags.ts';

export interface RunOptions {
  readonly stateDir: string;
  readonly token?: string;
  readonly tokenFile?: string;
  /** Absent: the site keeps no images. */
  readonly depot?: DepotOptions | undefined;
  /** Absent: a Podman site. */
  readonly kubernetes?: KubernetesFlags | undefined;
  readonly runtime: Runtime;
  /** Absent: it looks after no machines. */
  readonly rack?: RackOptions | undefined;
  /** Absent: the agent starts `podman system service` itself. */
  readonly podmanSocket?: string;
  readonly podCidr: string;
  readonly hostIp: string;
  readonly insecureRegistries: readonly string[];
  readonly longestWaitSeconds: number;
  readonly machine: Omit<AgentInfo, 'runtime'>;
  readonly proxies: ProxySettings;
  /** Files with CAs of proxies on the way to the hub. */
  readonly caFiles: readonly string[];
  /** Instead of the addresses that the token or the enrolment names; empty: those. */
  readonly hubs: readonly URL[];
  readonly link: LinkAccess;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Folder of this user for sockets, when the state directory's path is too long for one. */
  readonly runtimeDir: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Runs an agent with the driver that the options ask for, until the signal fires. */
export async function run(options: RunOptions, signal: AbortSignal): Promise<void> {
  const { kubernetes: flags, stateDir, clock, logger, environment } = options;
  const token = options.token ?? (await readTokenFile(options));
  const agent: Omit<AgentOptions, 'createDriver'> = {
    stateDir,
    ...(token === undefined ? {} : { token }),
    machine: options.machine,
    proxies: options.proxies,
    extraCas: await readExtraCas(options.caFiles),
    hubs: options.hubs,
    link: options.link,
    depot: options.depot,
    rack: options.rack,
    clock,
    logger,
    longestWaitSeconds: options.longestWaitSeconds,
  };
  // Each site loads its own driver only.
  if (options.runtime === 'none') {
    const { runWithoutRuntime } = await import('./run-without-runtime.ts');
    await runWithoutRuntime(agent, signal);
    return;
  }
  if (flags === undefined) {
    const { runOnPodman } = await import('./run-on-podman.ts');
    await runOnPodman(agent, options, signal);
    return;
  }
  const { runOnKubernetes } = await import('./run-on-kubernetes.ts');
  await runOnKubernetes({ agent, flags, environment }, signal);
}

async function readTokenFile({
  tokenFile: path,
  kubernetes,
  logger,
}: RunOptions): Promise<string | undefined> {
  if (path === undefined) return undefined;
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    if (kubernetes?.inCluster === true && (cause as NodeJS.ErrnoException).code === 'ENOENT') {
      // Its Secret may be deleted after the enrolment; whoever is not enrolled yet is told by `runAgent`.
      logger.debug('there is no token file', { path });
      return undefined;
    }
    throw new EnrolmentRefused(`the token file ${path} cannot be read; check --token-file`, { cause });
  }
}
