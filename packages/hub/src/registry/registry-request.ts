import { lookup as lookUpAddresses } from 'node:dns';
import type { IncomingHttpHeaders } from 'node:http';
import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { networkInterfaces } from 'node:os';
import { getCACertificates, rootCertificates } from 'node:tls';

export interface RegistryAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface RegistryRequest {
  readonly headers?: Readonly<Record<string, string>>;
  /** Longer answers are refused. */
  readonly maxBytes: number;
  /** The operator named this registry: it may be at any address. */
  readonly isNamed: boolean;
  readonly signal: AbortSignal;
}

const timeoutMilliseconds = 5_000;

/**
 * Addresses that no public registry has, and at which something else may answer: this machine, its own link, private networks,
 * and metadata services of clouds.
 */
const refusedNetworks: readonly (readonly [network: string, prefix: number])[] = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['168.63.129.16', 32],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['224.0.0.0', 3],
  // IPv4-compatible (::1 and :: are among them), site-local, unique local, link-local, multicast.
  ['::', 96],
  ['fc00::', 7],
  ['fe80::', 9],
  ['ff00::', 8],
  // Other ways to write IPv4 addresses: translation within a network, Teredo, 6to4.
  ['64:ff9b:1::', 48],
  ['2001::', 32],
  ['2002::', 16],
];
/** RFC 6052: a hub without IPv4 reaches it by these. */
const translated = (address: string): string => `64:ff9b::${address}`;

const refused = new BlockList();
for (const [network, prefix] of refusedNetworks) {
  refused.addSubnet(network, prefix, isIP(network) === 6 ? 'ipv6' : 'ipv4');
  if (isIP(network) === 4) refused.addSubnet(translated(network), 96 + prefix, 'ipv6');
}

/** Addresses that whoever writes an Application must not be able to make the hub speak to. */
export function isRefusedAddress(address: string): boolean {
  const [plain = ''] = address.split('%');
  const family = isIP(plain);
  if (family === 0) return true;
  const type = family === 6 ? 'ipv6' : 'ipv4';
  return refused.check(plain, type) || ownAddresses().check(plain, type);
}

/** They change while the hub runs. */
function ownAddresses(): BlockList {
  const list = new BlockList();
  for (const { address } of Object.values(networkInterfaces()).flatMap((found) => found ?? [])) {
    const [plain = ''] = address.split('%');
    if (isIP(plain) === 6) list.addAddress(plain, 'ipv6');
    else list.addAddress(plain, 'ipv4');
    if (isIP(plain) === 4) list.addAddress(translated(plain), 'ipv6');
  }
  return list;
}

/** GETs one document. Follows no redirect. Rejects with a message for the log; gives up after 5 seconds. */
export function getFromRegistry(url: URL, options: RegistryRequest): Promise<RegistryAnswer> {
  const signal = AbortSignal.any([options.signal, AbortSignal.timeout(timeoutMilliseconds)]);
  const hostname = url.hostname.replace(/^\[|\]$/g, '');
  if (!options.isNamed && isIP(hostname) !== 0 && isRefusedAddress(hostname)) {
    return Promise.reject(
      new Error(`${hostname} is no public address; --private-registry names registries that may have such`),
    );
  }
  return new Promise((resolve, reject) => {
    const send = url.protocol === 'https:' ? requestHttps : requestHttp;
    const settings = {
      ...(url.protocol === 'https:' ? { ca: authorities() } : {}),
      ...(options.isNamed ? {} : { lookup: carefulLookup }),
      agent: false as const,
      headers: { 'user-agent': 'selvedge-hub', ...options.headers },
      signal,
    };
    send(url, settings, (res) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      res.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > options.maxBytes) res.destroy(new Error(`more than ${options.maxBytes} bytes`));
        else chunks.push(chunk);
      });
      res.on('error', reject);
      res.on('end', () =>
        resolve({ status: res.statusCode ?? 0, headers: res.headers, body: Buffer.concat(chunks) }),
      );
    })
      .on('error', reject)
      .end();
  });
}

/** Resolves a name, and refuses when any of its addresses is one that must not be spoken to. */
const carefulLookup: LookupFunction = (hostname, options, callback) => {
  lookUpAddresses(hostname, { ...options, all: true }, (error, found) => {
    if (error) {
      callback(error, '', 0);
      return;
    }
    const [first] = found;
    if (first === undefined || found.some(({ address }) => isRefusedAddress(address))) {
      callback(
        new Error(`${hostname} is no public address; --private-registry names registries that may have such`),
        '',
        0,
      );
      return;
    }
    if (options.all === true) callback(null, found);
    else callback(null, first.address, first.family);
  });
};

let knownAuthorities: string[] | undefined;

/** Read once: the machine's file is large. */
function authorities(): string[] {
  knownAuthorities ??= [...rootCertificates, ...getCACertificates('system'), ...getCACertificates('extra')];
  return knownAuthorities;
}
