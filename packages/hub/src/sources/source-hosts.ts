import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { isRefusedAddress } from '../registry/registry-request.ts';
import { SourceError } from './source-reading.ts';

/** As on the command line. */
export interface SourceHostRules {
  /** `HOST`, `HOST:PORT`, `*.DOMAIN`, or `public`: every host at public addresses. */
  readonly hosts: readonly string[];
  /** `HOST` or `HOST:PORT` that may be spoken to without TLS. */
  readonly insecureHosts: readonly string[];
}

export interface SourceEndpoint {
  readonly protocol: 'https' | 'http' | 'ssh';
  readonly host: string;
  readonly port: number;
}

export const publicHosts = 'public';

/**
 * From which hosts this hub reads sources. Whoever may write an Application names a host that the hub then speaks to: by default
 * only public addresses, so that nobody reads by the hub what only the hub can reach.
 */
export class SourceHosts {
  readonly #rules: SourceHostRules;

  constructor(rules: SourceHostRules) {
    this.#rules = rules;
  }

  /**
   * The addresses of a host, the wanted one first; to be connected to as they are, so that no second look at the name finds
   * others. Throws SourceError.
   */
  async resolve({ protocol, host, port }: SourceEndpoint): Promise<readonly string[]> {
    const isInsecure = this.#rules.insecureHosts.some((rule) => matches(rule, host, port));
    if (protocol === 'http' && !isInsecure) {
      throw new SourceError(
        'SourceUnavailable',
        `${host} would be read over http, which anybody on the way can change: use https, or have the operator of the hub allow it by --insecure-source-host ${host}.`,
      );
    }
    const isNamed =
      isInsecure || this.#rules.hosts.some((rule) => rule !== publicHosts && matches(rule, host, port));
    if (!isNamed && !this.#rules.hosts.includes(publicHosts)) {
      throw new SourceError(
        'SourceUnavailable',
        `This hub reads no sources from ${host}: its operator names allowed hosts by --source-host.`,
      );
    }
    const addresses = await findAddresses(host);
    if (!isNamed && addresses.some(isRefusedAddress)) {
      throw new SourceError(
        'SourceUnavailable',
        `${host} is at no public address: the operator of the hub allows it by --source-host ${host}.`,
      );
    }
    return addresses;
  }
}

async function findAddresses(host: string): Promise<readonly string[]> {
  if (isIP(host) !== 0) return [host];
  try {
    const found = await lookup(host, { all: true });
    return found.map(({ address }) => address);
  } catch (cause) {
    throw new SourceError('SourceUnavailable', `The name ${host} cannot be looked up.`, { cause });
  }
}

function matches(rule: string, host: string, port: number): boolean {
  const [, ipv6, name, rulePort] = rulePattern.exec(rule.toLowerCase()) ?? [];
  if (rulePort !== undefined && Number(rulePort) !== port) return false;
  const plain = host.toLowerCase();
  if (name?.startsWith('*.')) return plain.endsWith(name.slice(1));
  return plain === (ipv6 ?? name);
}

const rulePattern = /^(?:\[([0-9a-f:.]+)\]|((?:\*\.)?[a-z0-9_.-]+))(?::(\d{1,5}))?$/;

/** Whether a text is a host as `SourceHostRules` has them. */
export function isSourceHostRule(text: string): boolean {
  return rulePattern.test(text.toLowerCase());
}
