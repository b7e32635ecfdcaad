import { BlockList, isIP } from 'node:net';

/** Which way leads to a host: through an HTTP proxy (CONNECT), or straight. */
export interface ProxySettings {
  /** The URL may carry user and password: never log it, log `host`. */
  findProxy(target: { host: string; port: number }): URL | undefined;
}

export const noProxy: ProxySettings = { findProxy: () => undefined };

/**
 * As curl and others read them: HTTPS_PROXY (or https_proxy), NO_PROXY (or no_proxy) with host names, suffixes (`.shop.example`),
 * addresses, networks (`10.0.0.0/8`), each with an optional port, or `*`. Throws when the proxy's URL is none.
 */
export function readProxySettings(environment: Readonly<Record<string, string | undefined>>): ProxySettings {
  const text = environment['HTTPS_PROXY'] || environment['https_proxy'];
  if (!text) return noProxy;
  const proxy = parseProxyUrl(text);
  const exceptions = (environment['NO_PROXY'] || environment['no_proxy'] || '')
    .split(/[\s,]+/)
    .filter((entry) => entry !== '')
    .map(parseException);
  return {
    findProxy: (target) => (exceptions.some((matches) => matches(target)) ? undefined : proxy),
  };
}

function parseProxyUrl(text: string): URL {
  const url = URL.parse(/^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`);
  // The text may hold a password, so it is not quoted.
  if (url === null) throw new Error('HTTPS_PROXY is not a URL; write http://[user:password@]host:port');
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw new Error(
      `HTTPS_PROXY has the scheme ${url.protocol}// but only http:// and https:// proxies work`,
    );
  }
  return url;
}

type Matcher = (target: { host: string; port: number }) => boolean;

function parseException(entry: string): Matcher {
  if (entry === '*') return () => true;
  const { host, port } = splitPort(entry.toLowerCase());
  const matchesHost = hostMatcher(host);
  return (target) => (port === undefined || port === target.port) && matchesHost(target.host.toLowerCase());
}

function hostMatcher(pattern: string): (host: string) => boolean {
  const [network = '', prefix] = pattern.split('/');
  const family = isIP(network);
  if (family !== 0) {
    const list = new BlockList();
    const type = family === 6 ? 'ipv6' : 'ipv4';
    if (prefix === undefined) list.addAddress(network, type);
    else list.addSubnet(network, Number(prefix), type);
    return (host) => isIP(host) !== 0 && list.check(host, isIP(host) === 6 ? 'ipv6' : 'ipv4');
  }
  const name = pattern.replace(/^\*?\./, '');
  return (host) => host === name || host.endsWith(`.${name}`);
}

function splitPort(entry: string): { host: string; port?: number } {
  const bracketed = /^\[(.+)\](?::(\d+))?$/.exec(entry);
  const plain = bracketed ?? (isIP(entry) === 6 ? null : /^([^:]+)(?::(\d+))?$/.exec(entry));
  if (plain === null) return { host: entry };
  const [, host = entry, port] = plain;
  return port === undefined ? { host } : { host, port: Number(port) };
}
