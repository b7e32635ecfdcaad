import { networkInterfaces } from 'node:os';
import type { LinkPeers } from '../link/service-link.ts';
import { HubOptionError } from './hub-option-error.ts';
import type { ResolvedHubOptions } from './hub-options.ts';
import type { HubTls } from './hub-tls.ts';

/** How the hubs on one database reach each other, as on the command line. */
export interface PeerFlags {
  /** Base address at which the other hubs on the same database reach this one. Default: an address of this machine. */
  readonly peerUrl?: string;
}

/** Throws HubOptionError. */
export function resolvePeerUrl({ peerUrl }: PeerFlags): URL | undefined {
  if (peerUrl === undefined) return undefined;
  const url = URL.parse(peerUrl);
  const isBase = url?.protocol === 'https:' && url.pathname === '/' && url.search === '' && url.hash === '';
  if (!isBase || url.username !== '' || url.password !== '') {
    throw new HubOptionError(`--peer-url must be an address such as https://10.0.0.7:6480, not "${peerUrl}"`);
  }
  return url;
}

/** Only hubs on PostgreSQL have others beside them. @param listening asked once the hub listens. */
export function peersOf(
  options: Pick<ResolvedHubOptions, 'store' | 'peerUrl' | 'host' | 'machineName'>,
  listening: () => { port: number; tls: HubTls },
): LinkPeers | undefined {
  if (options.store.url === undefined) return undefined;
  return {
    ownUrl: () => options.peerUrl?.origin ?? `https://${ownHost(options)}:${listening().port}`,
    authorities: () => listening().tls.peerAuthorities(),
  };
}

/** Names of machines are often known to nobody else, addresses are. */
function ownHost({ host, machineName }: Pick<ResolvedHubOptions, 'host' | 'machineName'>): string {
  const isWildcard = host === '0.0.0.0' || host === '::';
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const outward = addresses.find(({ family, internal }) => family === 'IPv4' && !internal)?.address;
  const name = isWildcard ? (outward ?? machineName) : host;
  return name.includes(':') ? `[${name}]` : name;
}
