import { StatusError } from '@selvedge/api';
import type { LibpodClient } from './libpod-client.ts';
import { isMissing } from './libpod-client.ts';
import { labelNames, type PodmanNames, type SiteIdentity } from './ownership.ts';
import type { RuntimeCapabilities } from './runtime-capabilities.ts';

/** What Podman says of itself and the machine. */
export interface PodmanHost extends RuntimeCapabilities {
  readonly version: string;
  /** Folders that fetching an image fills. */
  readonly imageFolders: readonly string[];
}

interface PodmanInfo {
  host: {
    cgroupControllers: string[] | null;
    networkBackend: string;
    security: { rootless: boolean };
  };
  store: { graphRoot: string; imageCopyTmpDir?: string };
  version: { Version: string };
}

const oldestVersion = [4, 3] as const;

/** Throws StatusError with what to change when this Podman cannot be used. */
export async function readPodmanHost(client: LibpodClient): Promise<PodmanHost> {
  const { host, store, version } = await client.call<PodmanInfo>({ path: '/info' });
  const [major = 0, minor = 0] = version.Version.split('.').map(Number);
  if (major < oldestVersion[0] || (major === oldestVersion[0] && minor < oldestVersion[1])) {
    throw new StatusError('BadRequest', `Podman ${version.Version} is too old; install 4.3 or newer`);
  }
  if (host.networkBackend !== 'netavark') {
    throw new StatusError(
      'BadRequest',
      `Podman uses the network backend ${host.networkBackend}; install netavark and aardvark-dns, and set network_backend = "netavark" in containers.conf`,
    );
  }
  const controllers = host.cgroupControllers ?? [];
  return {
    version: version.Version,
    imageFolders: [store.graphRoot, store.imageCopyTmpDir ?? store.graphRoot],
    isRootless: host.security.rootless,
    canLimitCpu: controllers.includes('cpu'),
    canLimitMemory: controllers.includes('memory'),
  };
}

/** The site's network; pods of all its applications are in it. @returns the machine's address in it. */
export async function ensureNetwork(
  client: LibpodClient,
  { names, site, podCidr }: { names: PodmanNames; site: SiteIdentity; podCidr: string },
): Promise<string> {
  const path = `/networks/${names.network}/json`;
  const found = await client.find<PodmanNetwork>({ path });
  const network = found ?? (await createNetwork(client, { names, site, podCidr }));
  return network.subnets?.[0]?.gateway ?? '';
}

interface PodmanNetwork {
  subnets?: { subnet: string; gateway?: string }[];
}

async function createNetwork(
  client: LibpodClient,
  { names, site, podCidr }: { names: PodmanNames; site: SiteIdentity; podCidr: string },
): Promise<PodmanNetwork> {
  return await client.call<PodmanNetwork>({
    method: 'POST',
    path: '/networks/create',
    body: {
      name: names.network,
      driver: 'bridge',
      network_interface: names.bridge,
      dns_enabled: true,
      subnets: [{ subnet: podCidr }],
      labels: { [labelNames.site]: site.uid, [labelNames.siteName]: site.name },
    },
  });
}

/** Address of a running container in the site's network; undefined when it has none (any more). */
export async function addressOf(
  client: LibpodClient,
  containerId: string,
  network: string,
): Promise<string | undefined> {
  try {
    const found = await client.call<{
      NetworkSettings?: { Networks?: Record<string, { IPAddress?: string }> | null };
    }>({ path: `/containers/${containerId}/json` });
    const address = found.NetworkSettings?.Networks?.[network]?.IPAddress;
    return address === '' ? undefined : address;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}
