import type { ResolvedHubOptions } from './hub-options.ts';

/** What the operating system said, in words that name what to do. */
export function listenError(
  error: unknown,
  { host, port }: Pick<ResolvedHubOptions, 'host' | 'port'>,
): Error {
  const address = `${host.includes(':') ? `[${host}]` : host}:${port}`;
  const message = messages[(error as NodeJS.ErrnoException).code ?? ''];
  if (message === undefined) {
    return new Error(`cannot listen on ${address}: ${(error as Error).message}`, { cause: error });
  }
  return new Error(`cannot listen on ${address}: ${message}`, { cause: error });
}

const messages: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another program uses this port: stop it, or give another one with --listen HOST:PORT',
  EACCES: 'ports below 1024 need root: give another one with --listen HOST:PORT',
  EADDRNOTAVAIL: 'this machine has no such address: give one of its own, or 0.0.0.0, with --listen HOST:PORT',
  ENOTFOUND: 'the host name is unknown: give an address of this machine with --listen HOST:PORT',
};
