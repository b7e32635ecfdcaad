import { dirname, resolve } from 'node:path';
import type { Clock } from '@selvedge/api';
import { ExecCredentials, parseExecPlugin } from './exec-credential.ts';
import type { KubeAccess, KubeTls } from './kube-access.ts';
import {
  clientCertificate,
  type Entry,
  type Fields,
  isTrue,
  material,
  openContext,
  optionalText,
  refuseUnsupported,
  serverAddress,
} from './kubeconfig-file.ts';
import { TokenFile } from './token-file.ts';

export interface KubeconfigAccessOptions {
  /** One file, or a list as in $KUBECONFIG. */
  readonly path: string;
  /** `current-context` when absent. */
  readonly context?: string;
  /** Of this process: plugins get it, with what the kubeconfig adds. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
}

/**
 * The API that a kubeconfig names, with credentials that are renewed: `tokenFile` is read again, `exec` plugins run again. Throws BadRequest
 * that names the file and the field.
 */
export async function kubeconfigAccess(options: KubeconfigAccessOptions): Promise<KubeAccess> {
  const { cluster, user } = await openContext(options.path, options.context);
  refuseUnsupported(cluster, ['proxy-url']);
  refuseUnsupported(user, [
    'auth-provider',
    'username',
    'password',
    'as',
    'as-uid',
    'as-groups',
    'as-user-extra',
  ]);
  const ca = await material(cluster, 'certificate-authority');
  const serverName = optionalText(cluster, 'tls-server-name');
  const server = serverAddress(cluster);
  const isInsecure = isTrue(cluster, 'insecure-skip-tls-verify');
  const tls: KubeTls = {
    ...(ca === undefined ? {} : { ca }),
    ...(serverName === undefined ? {} : { serverName }),
    ...(isInsecure ? { insecureSkipVerify: true } : {}),
    ...(await clientCertificate(user)),
  };
  const token = optionalText(user, 'token');
  const tokenFile = optionalText(user, 'tokenFile');
  // As client-go: a file goes before the token beside it, and a plugin is asked only when there is nothing else.
  if (tokenFile !== undefined) {
    const file = new TokenFile(resolve(dirname(user.path), tokenFile), options.clock);
    return {
      server,
      tls,
      authorization: async () => `Bearer ${await file.get()}`,
      refused: () => file.forget(),
    };
  }
  if (token !== undefined || !hasExec(user)) {
    const header = token === undefined ? undefined : `Bearer ${token}`;
    return { server, tls, authorization: () => Promise.resolve(header), refused: () => {} };
  }
  const plugin = parseExecPlugin(user, clusterInfo(cluster, { server, ca }), dirname(user.path));
  return pluginAccess(server, tls, new ExecCredentials(plugin, options));
}

function pluginAccess(server: string, tls: KubeTls, credentials: ExecCredentials): KubeAccess {
  return {
    server,
    get tls() {
      const { cert, key } = credentials.credential ?? {};
      return cert === undefined || key === undefined ? tls : { ...tls, cert, key };
    },
    authorization: async () => {
      const { token } = await credentials.get();
      return token === undefined ? undefined : `Bearer ${token}`;
    },
    refused: () => credentials.forget(),
  };
}

function hasExec(user: Entry): boolean {
  return user.fields['exec'] !== undefined && user.fields['exec'] !== null;
}

/** `spec.cluster` of an ExecCredential. */
function clusterInfo(cluster: Entry, { server, ca }: { server: string; ca: string | undefined }): Fields {
  const serverName = optionalText(cluster, 'tls-server-name');
  const config = execConfig(cluster);
  return {
    server,
    ...(serverName === undefined ? {} : { 'tls-server-name': serverName }),
    ...(isTrue(cluster, 'insecure-skip-tls-verify') ? { 'insecure-skip-tls-verify': true } : {}),
    ...(ca === undefined
      ? {}
      : { 'certificate-authority-data': Buffer.from(ca, 'latin1').toString('base64') }),
    ...(config === undefined ? {} : { config }),
  };
}

/** What the kubeconfig keeps for the plugin, in the cluster's extension of this reserved name. */
function execConfig(cluster: Entry): unknown {
  const extensions = cluster.fields['extensions'];
  if (!Array.isArray(extensions)) return undefined;
  const found = (extensions as (Fields | null)[]).find(
    (one) => one?.['name'] === 'client.authentication.k8s.io/exec',
  );
  return found?.['extension'];
}
