import type { KeyAndCertificate } from './certificate-check.ts';

const base64 = (text: string): string => Buffer.from(text).toString('base64');

/** A kubeconfig with everything in it. JSON, which is YAML. */
export function adminKubeconfig(options: {
  readonly server: string;
  readonly authority: string;
  readonly admin: KeyAndCertificate;
}): string {
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      {
        name: 'selvedge',
        cluster: { server: options.server, 'certificate-authority-data': base64(options.authority) },
      },
    ],
    users: [
      {
        name: 'admin',
        user: {
          'client-certificate-data': base64(options.admin.certificate),
          'client-key-data': base64(options.admin.key),
        },
      },
    ],
    contexts: [{ name: 'selvedge', context: { cluster: 'selvedge', user: 'admin', namespace: 'default' } }],
    'current-context': 'selvedge',
  };
  return `${JSON.stringify(config, null, 2)}\n`;
}
