import { lookup as lookUpAddresses } from 'node:dns';
import {
  type Agent as HttpAgent,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request as requestHttp,
} from 'node:http';
import { request as requestHttps } from 'node:https';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { networkInterfaces } from 'node:os';
import { addAbortSignal, type Readable } from 'node:stream';
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
  /** Default: 5 s, for all of it. */
  readonly timeoutMilliseconds?: number;
  /** Default: GET. */
  readonly method?: string;
  readonly body?: Uint8Array;
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
export async function getFromRegistry(url: URL, options: RegistryRequest): Promise<RegistryAnswer> {
  const signal = AbortSignal.any([
    options.signal,
    AbortSignal.timeout(options.timeoutMilliseconds ?? timeoutMilliseconds),
  ]);
  const { headers = {}, isNamed, maxBytes, method = 'GET', body } = options;
  const answer = await openRegistry(url, { method, headers, isNamed, signal, body });
  return {
    status: answer.status,
    headers: answer.headers,
    body: await collect(answer.body, maxBytes, signal),
  };
}

export class TooManyBytesError extends Error {
  override readonly name = 'TooManyBytesError';
}

/** The whole of a stream; rejects with TooManyBytesError beyond `maxBytes`, and when the signal fires. */
export async function collect(body: Readable, maxBytes: number, signal: AbortSignal): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of addAbortSignal(signal, body) as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw new TooManyBytesError(`more than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

export interface OpenRequest {
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly isNamed: boolean;
  /** Also ends the reading of the answer. */
  readonly signal: AbortSignal;
  /** A stream is sent as it comes. */
  readonly body?: Uint8Array | Readable | undefined;
  /** Keeps connections for the next request. Default: each request has its own. */
  readonly agent?: HttpAgent | undefined;
}

export interface OpenAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** To be read to its end, or destroyed. */
  readonly body: IncomingMessage;
}

/** Sends one request to a registry; resolves with the head of the answer. Follows no redirect. Rejects with a message for the log. */
export function openRegistry(url: URL, options: OpenRequest): Promise<OpenAnswer> {
  const { method, headers, isNamed, signal, body } = options;
  const hostname = url.hostname.replace(/^\[|\]$/g, '');
  if (!isNamed && isIP(hostname) !== 0 && isRefusedAddress(hostname)) {
    return Promise.reject(
      new Error(`${hostname} is no public address; --private-registry names registries that may have such`),
    );
  }
  return new Promise((resolve, reject) => {
    const send = url.protocol === 'https:' ? requestHttps : requestHttp;
    const settings = {
      ...(url.protocol === 'https:' ? { ca: authorities() } : {}),
      ...(isNamed ? {} : { lookup: carefulLookup }),
      agent: options.agent ?? (false as const),
      method,
      headers: { 'user-agent': 'selvedge-hub', ...headers },
      signal,
    };
    const req = send(url, settings, (res) => {
      resolve({ status: res.statusCode ?? 0, headers: res.headers, body: res });
    }).on('error', reject);
    if (body === undefined || body instanceof Uint8Array) {
      req.end(body);
    } else {
      body.once('error', (error) => req.destroy(error));
      body.pipe(req);
    }
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
