import {
  clientCertificate,
  isTrue,
  material,
  openContext,
  optionalText,
  readNamedFile,
  refuseUnsupported,
  type Entry,
  serverAddress,
} from './kubeconfig-file.ts';

/** One context of a kubeconfig: where the API is and who we are. Certificates and keys as PEM. */
export interface Kubeconfig {
  readonly path: string;
  readonly context: string;
  readonly server: string;
  /** Namespace of the context. */
  readonly namespace?: string;
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly token?: string;
  readonly tlsServerName?: string;
  readonly insecureSkipTlsVerify: boolean;
}

/**
 * Reads `context` (or the current one) of the file at `path`, which may be a list as in $KUBECONFIG: the first entry
 * of a name counts. Throws BadRequest that names the file and the field.
 */
export async function loadKubeconfig(path: string, context?: string): Promise<Kubeconfig> {
  const { shown, name: contextName, ofContext, cluster, user } = await openContext(path, context);
  const ca = await material(cluster, 'certificate-authority');
  const namespace = optionalText(ofContext, 'namespace');
  const tlsServerName = optionalText(cluster, 'tls-server-name');
  refuseUnsupported(cluster, ['proxy-url']);
  return {
    path: shown,
    context: contextName,
    server: serverAddress(cluster),
    ...(namespace === undefined ? {} : { namespace }),
    ...(ca === undefined ? {} : { ca }),
    ...(tlsServerName === undefined ? {} : { tlsServerName }),
    insecureSkipTlsVerify: isTrue(cluster, 'insecure-skip-tls-verify'),
    ...(await credentials(user)),
  };
}

async function credentials(user: Entry): Promise<{ cert?: string; key?: string; token?: string }> {
  refuseUnsupported(user, ['exec', 'auth-provider', 'username', 'password', 'as']);
  const token = optionalText(user, 'token') ?? (await tokenFromFile(user));
  return { ...(await clientCertificate(user)), ...(token === undefined ? {} : { token }) };
}

async function tokenFromFile(user: Entry): Promise<string | undefined> {
  const file = optionalText(user, 'tokenFile');
  return file === undefined ? undefined : (await readNamedFile(user, 'tokenFile', file)).trim();
}
