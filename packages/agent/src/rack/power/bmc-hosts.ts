import { lookup as lookupName } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { networkInterfaces } from 'node:os';
import { promisify } from 'node:util';
import { PowerError } from './power-driver.ts';

const lookupAll = promisify(lookupName);

/**
 * Which hosts a rack calls as BMCs and serial consoles. The addresses come from who may write Machines, and the rack stands inside the site: its own machine (where
 * programs listen that trust whoever reaches them) and link-local addresses (where clouds give out credentials) are no place of a BMC.
 */
export class BmcHosts {
  readonly #allowsLocal: boolean;

  /** @param allowsLocal nothing is refused: the machines are virtual ones beside the agent. */
  constructor({ allowsLocal }: { readonly allowsLocal: boolean }) {
    this.#allowsLocal = allowsLocal;
  }

  /** For sockets that connect to a name. An address as text never gets here: see `check`. */
  readonly lookup: LookupFunction = (hostname, options, callback) => {
    lookupName(hostname, { ...options, all: true }, (error, found) => {
      if (error) {
        callback(error, '', 0);
        return;
      }
      const allowed = found.filter(({ address }) => this.#isAllowed(address));
      const [first] = allowed;
      if (first === undefined) callback(localAddress(hostname), '', 0);
      else if (options.all === true) callback(null, allowed);
      else callback(null, first.address, first.family);
    });
  };

  /** @param host name or address, an IPv6 address with or without brackets. Names pass: `lookup` decides. Throws PowerError Invalid. */
  check(host: string): void {
    const address = host.replace(/^\[|\]$/g, '');
    if (isIP(address) !== 0 && !this.#isAllowed(address)) throw localAddress(address);
  }

  /** The address of a name, for programs that would ask again for themselves. Throws PowerError Invalid, or Unavailable when nobody knows the name. */
  async resolve(host: string): Promise<string> {
    this.check(host);
    if (isIP(host) !== 0) return host;
    let found: readonly { readonly address: string }[];
    try {
      found = await lookupAll(host, { all: true });
    } catch (cause) {
      throw new PowerError('Unavailable', `${host} is a name that nobody knows`, { isPassing: true, cause });
    }
    const allowed = found.find(({ address }) => this.#isAllowed(address));
    if (allowed === undefined) throw localAddress(host);
    return allowed.address;
  }

  #isAllowed(address: string): boolean {
    if (this.#allowsLocal) return true;
    const [plain = ''] = address.split('%', 1);
    const family = isIP(plain) === 4 ? 'ipv4' : 'ipv6';
    return !localRanges.check(plain, family) && !ownAddresses().check(plain, family);
  }
}

const localRanges = new BlockList();
localRanges.addSubnet('0.0.0.0', 8, 'ipv4');
localRanges.addSubnet('127.0.0.0', 8, 'ipv4');
localRanges.addSubnet('169.254.0.0', 16, 'ipv4');
localRanges.addAddress('::', 'ipv6');
localRanges.addAddress('::1', 'ipv6');
localRanges.addSubnet('fe80::', 10, 'ipv6');

/** Of this machine now: interfaces come and go. */
function ownAddresses(): BlockList {
  const own = new BlockList();
  for (const { address, family } of Object.values(networkInterfaces()).flatMap((list) => list ?? []))
    own.addAddress(address, family === 'IPv6' ? 'ipv6' : 'ipv4');
  return own;
}

function localAddress(host: string): PowerError {
  return new PowerError(
    'Invalid',
    `${host} is an address of the rack itself or a link-local one, where no BMC is called (for virtual machines beside the agent: selvedge-agent run --rack-allow-local-bmc)`,
    { isPassing: false },
  );
}
