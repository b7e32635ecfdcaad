import { lookup as lookUpAddresses } from 'node:dns';
import type { IncomingHttpHeaders } from 'node:http';
import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { BlockList, isIP, type LookupFunction } from 'node:net';
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
  /** The operator named this registry: plain http and this machine's own addresses are meant. */
  readonly isTrusted: boolean;
  readonly signal: AbortSignal;
}

const timeoutMilliseconds = 5_000;

/** This machine itself, and what only its own link can mean: metadata services of clouds live there. */
const ownAddresses = new BlockList();
for (const [network, prefix] of [
  ['0.0.0.0', 8],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['224.0.0.0', 4],
] as const) {
  ownAddresses.addSubnet(network, prefix, 'ipv4');
}
for (const [network, prefix] of [
  ['::', 128],
  ['::1', 128],
  ['fe80::', 10],
  ['fd00:ec2::', 32],
  ['ff00::', 8],
] as const) {
  ownAddresses.addSubnet(network, prefix, 'ipv6');
}

/** Addresses that whoever writes an Application must not be able to make the hub speak to. */
export function isRefusedAddress(address: string): boolean {
  const family = isIP(address);
  return family === 0 || ownAddresses.check(address, family === 6 ? 'ipv6' : 'ipv4');
}

/** GETs one document. Follows no redirect. Rejects with a message for the log; gives up after 5 seconds. */
export function getFromRegistry(url: URL, options: RegistryRequest): Promise<RegistryAnswer> {
  const signal = AbortSignal.any([options.signal, AbortSignal.timeout(timeoutMilliseconds)]);
  const hostname = url.hostname.replace(/^\[|\]$/g, '');
  if (!options.isTrusted && isIP(hostname) !== 0 && isRefusedAddress(hostname)) {
    return Promise.reject(new Error(`${hostname} is an address of this machine or its own link`));
  }
  return new Promise((resolve, reject) => {
    const send = url.protocol === 'https:' ? requestHttps : requestHttp;
    const settings = {
      ...(url.protocol === 'https:' ? { ca: authorities() } : {}),
      ...(options.isTrusted ? {} : { lookup: carefulLookup }),
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
      callback(new Error(`${hostname} is an address of this machine or its own link`), '', 0);
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
