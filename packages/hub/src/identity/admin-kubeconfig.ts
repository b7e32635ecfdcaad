import type { KeyAndCertificate } from './certificate-check.ts';

/** How a program reaches the hub and knows that it is the hub. */
export interface ClusterAccess {
  readonly server: string;
  /** PEM of the authorities that the server's certificate may come from. */
  readonly authorities: string;
  /** Name to look for in the server's certificate, when it is not that of the address. */
  readonly tlsServerName?: string;
}

/** Of a kubeconfig that `userKubeconfig` wrote; `undefined` when it is something else. */
export function parseAccess(kubeconfig: string): ClusterAccess | undefined {
  try {
    const [{ cluster }] = (JSON.parse(kubeconfig) as { clusters: [{ cluster: Record<string, unknown> }] })
      .clusters;
    const { server, 'certificate-authority-data': authorities, 'tls-server-name': tlsServerName } = cluster;
    if (typeof server !== 'string' || typeof authorities !== 'string') return undefined;
    return {
      server,
      authorities: Buffer.from(authorities, 'base64').toString(),
      ...(typeof tlsServerName === 'string' ? { tlsServerName } : {}),
    };
  } catch {
    return undefined;
  }
}

const base64 = (text: string): string => Buffer.from(text).toString('base64');

/** A kubeconfig with everything in it. JSON, which is YAML. */
export function userKubeconfig(options: {
  readonly access: ClusterAccess;
  readonly name: string;
  readonly credentials: KeyAndCertificate;
}): string {
  const { access, name, credentials } = options;
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      {
        name: 'selvedge',
        cluster: {
          server: access.server,
          'certificate-authority-data': base64(access.authorities),
          ...(access.tlsServerName === undefined ? {} : { 'tls-server-name': access.tlsServerName }),
        },
      },
    ],
    users: [
      {
        name,
        user: {
          'client-certificate-data': base64(credentials.certificate),
          'client-key-data': base64(credentials.key),
        },
      },
    ],
    contexts: [{ name: 'selvedge', context: { cluster: 'selvedge', user: name, namespace: 'default' } }],
    'current-context': 'selvedge',
  };
  return `${JSON.stringify(config, null, 2)}\n`;
}
