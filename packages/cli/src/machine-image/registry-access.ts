import type { SecureContextOptions } from 'node:tls';
import type { Kubeconfig } from '@selvedge/kube';

/** Where a registry is, and who we are there. */
export interface RegistryAccess {
  /** `https://host[:port]`, or `http://…`. */
  readonly server: string;
  readonly tls: Pick<SecureContextOptions, 'ca' | 'cert' | 'key'> & {
    readonly servername?: string;
    readonly rejectUnauthorized?: boolean;
  };
  /** For each request, without being asked. */
  readonly authorization?: string;
  /** Given when the registry asks for it. */
  readonly login?: { readonly username: string; readonly password: string };
}

/** The registry of the hub that a kubeconfig leads to, as its user. */
export function hubRegistry(kubeconfig: Kubeconfig): RegistryAccess {
  const { server, ca, cert, key, token, tlsServerName, insecureSkipTlsVerify } = kubeconfig;
  return {
    server: server.replace(/\/+$/, ''),
    tls: {
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
      ...(tlsServerName === undefined ? {} : { servername: tlsServerName }),
      rejectUnauthorized: !insecureSkipTlsVerify,
    },
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
  };
}

export function otherRegistry(options: {
  /** As in the names of its images: `host[:port]`. */
  readonly host: string;
  readonly login?: RegistryAccess['login'];
  /** Without TLS. */
  readonly isInsecure?: boolean;
}): RegistryAccess {
  const { host, login, isInsecure = false } = options;
  return {
    server: `${isInsecure ? 'http' : 'https'}://${host}`,
    tls: {},
    ...(login === undefined ? {} : { login }),
  };
}
