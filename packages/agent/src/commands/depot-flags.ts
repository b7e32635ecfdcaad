import { join } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import type { DepotOptions } from '../agent.ts';

/** Where the site's images are kept, and to whom they are served. */
export interface DepotFlags {
  /** false: `--no-depot`. */
  readonly depot?: string | false;
  readonly depotListen?: ListenAddress;
  readonly insecureRegistry: readonly string[];
}

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

export function addDepotFlags(command: Command): Command {
  return command
    .option(
      '--depot <dir>',
      'folder for the images of the site, each fetched once (Podman: STATE/depot when not given; Kubernetes: none)',
    )
    .option('--no-depot', 'keep no images; a Podman site fetches them straight from their registries')
    .option(
      '--depot-listen <host:port>',
      'serve the images of the depot, read only and without TLS, to the nodes of the site; 0.0.0.0:5443 for all addresses',
      listenAddress,
    );
}

/** Of a Podman site, when nothing else is said. */
export function defaultDepotDir(stateDir: string): string {
  return join(stateDir, 'depot');
}

/** Undefined: the site has no depot. Throws with the name of the flag that lacks another. */
export function depotOptions(
  flags: DepotFlags,
  site: { readonly stateDir: string; readonly isKubernetes: boolean },
): DepotOptions | undefined {
  const { depot, depotListen: listen, insecureRegistry: insecureRegistries } = flags;
  const directory = depot ?? (site.isKubernetes ? false : defaultDepotDir(site.stateDir));
  if (directory !== false) return { directory, listen, insecureRegistries };
  if (listen !== undefined) throw new Error('--depot-listen needs --depot DIR');
  if (site.isKubernetes && insecureRegistries.length > 0) {
    throw new Error(
      '--insecure-registry needs --depot DIR: without a depot the nodes fetch images themselves',
    );
  }
  return undefined;
}

/** `host:port`; an IPv6 address in brackets. Exported for its test. */
export function listenAddress(value: string): ListenAddress {
  const [, bracketed, plain, port = ''] = /^(?:\[([0-9a-f:.]+)\]|([^:[\]]+)):(\d{1,5})$/i.exec(value) ?? [];
  const host = bracketed ?? plain;
  if (host === undefined || Number(port) > 65_535)
    throw new InvalidArgumentError('write HOST:PORT, as in 0.0.0.0:5443');
  return { host, port: Number(port) };
}
