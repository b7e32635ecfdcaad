import { readFile } from 'node:fs/promises';
import { isIPv6 } from 'node:net';
import { join } from 'node:path';
import { type Clock, StatusError } from '@selvedge/api';
import type { KubeAccess } from './kube-access.ts';
import { TokenFile } from './token-file.ts';

/** Where Kubernetes mounts the token of a pod's service account. */
const serviceAccountDirectory = '/var/run/secrets/kubernetes.io/serviceaccount';

export interface InClusterAccessOptions {
  /** Of this process: `KUBERNETES_SERVICE_HOST` and `KUBERNETES_SERVICE_PORT` are in it. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  /** For a token that is mounted elsewhere. */
  readonly directory?: string;
}

export interface InClusterAccess extends KubeAccess {
  /** Of the pod; undefined when it is not mounted with the token. */
  readonly namespace?: string;
}

/** The API of the cluster that this process runs in as a pod. Throws BadRequest outside of a pod or without its service account. */
export async function inClusterAccess(options: InClusterAccessOptions): Promise<InClusterAccess> {
  const { environment, clock, directory = serviceAccountDirectory } = options;
  const host = environment['KUBERNETES_SERVICE_HOST'];
  const port = environment['KUBERNETES_SERVICE_PORT'];
  if (!host || !port) {
    throw new StatusError(
      'BadRequest',
      'KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set: this is no pod of a cluster; outside of one use --kubeconfig FILE',
    );
  }
  const ca = await readMounted(directory, 'ca.crt');
  if (ca === undefined) {
    throw new StatusError(
      'BadRequest',
      `${directory}/ca.crt is missing: the pod has no service account token; set automountServiceAccountToken: true`,
    );
  }
  const namespace = (await readMounted(directory, 'namespace'))?.trim();
  const token = new TokenFile(join(directory, 'token'), clock);
  return {
    server: `https://${isIPv6(host) ? `[${host}]` : host}:${port}`,
    tls: { ca },
    ...(namespace ? { namespace } : {}),
    authorization: async () => `Bearer ${await token.get()}`,
    refused: () => token.forget(),
  };
}

async function readMounted(directory: string, name: string): Promise<string | undefined> {
  try {
    return await readFile(join(directory, name), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
