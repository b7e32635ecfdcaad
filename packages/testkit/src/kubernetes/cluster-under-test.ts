import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createHttpClient, type HttpClient, type KubeAccess } from '@selvedge/kube';
import type { ClusterAbilities, ClusterCredential, ClusterServer, ClusterUser } from './cluster-server.ts';
import { RealCluster, whyNoKubeApiserver } from './real-cluster.ts';

export const clusterKinds = ['our api server', 'kube-apiserver'] as const;
export type ClusterKind = (typeof clusterKinds)[number];

/** As options of node:test: the real one is skipped where `KUBEBUILDER_ASSETS` (as for envtest) does not name it. */
export function requireCluster(kind: ClusterKind): { skip: string | false } {
  return { skip: kind === 'kube-apiserver' ? (whyNoKubeApiserver() ?? false) : false };
}

async function openServer(name: ClusterKind, directory: string): Promise<ClusterServer> {
  if (name === 'kube-apiserver') return RealCluster.open(directory);
  // Brings the whole hub: most tests that come by here want none of it.
  const { OurCluster } = await import('./our-cluster.ts');
  return OurCluster.open(directory);
}

/** A Kubernetes API to test against: ours with Kubernetes' kinds, or the real one. Nothing runs in it but `SimulatedWorkloads`. */
export class ClusterUnderTest {
  readonly name: ClusterKind;
  readonly supports: ClusterAbilities;
  readonly url: string;
  readonly ca: string;
  /** As an administrator. */
  readonly access: KubeAccess;
  /** As an administrator; for kubectl and for `--kubeconfig`. */
  readonly kubeconfigPath: string;
  readonly directory: string;
  readonly #server: ClusterServer;
  readonly #clients: HttpClient[] = [];

  private constructor(name: ClusterKind, server: ClusterServer, directory: string) {
    this.name = name;
    this.#server = server;
    this.directory = directory;
    this.supports = server.abilities;
    this.url = server.url;
    this.ca = server.ca;
    this.access = this.#accessWith(server.administrator);
    this.kubeconfigPath = join(directory, 'kubeconfig');
  }

  static async start(name: ClusterKind): Promise<ClusterUnderTest> {
    const directory = await mkdtemp(join(tmpdir(), 'selvedge-cluster-'));
    const server = await openServer(name, directory);
    try {
      await server.start();
      const cluster = new ClusterUnderTest(name, server, directory);
      await writeFile(cluster.kubeconfigPath, cluster.kubeconfig(server.administrator.token), {
        mode: 0o600,
      });
      return cluster;
    } catch (error) {
      await server.close();
      throw error;
    }
  }

  /** A client of our own, as an administrator. */
  client(): HttpClient {
    const client = createHttpClient({
      server: this.url,
      ca: this.ca,
      token: this.#server.administrator.token,
    });
    this.#clients.push(client);
    return client;
  }

  async accessFor(user: ClusterUser): Promise<KubeAccess> {
    return this.#accessWith(await this.#server.credentialFor(user));
  }

  /** By a token of its own, from `serviceaccounts/token`. It has to be there. */
  async accessForServiceAccount(namespace: string, name: string): Promise<KubeAccess> {
    const answer = await this.client().request<{ status: { token: string } }>({
      method: 'POST',
      path: `/api/v1/namespaces/${namespace}/serviceaccounts/${name}/token`,
      body: { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: {} },
    });
    return this.#accessWith(answer.status);
  }

  /** Text of a kubeconfig with this token; `server`: another way to the same API (a proxy). */
  kubeconfig(token: string, server: { url: string; ca: string } = this): string {
    return JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [
        {
          name: 'test',
          cluster: {
            server: server.url,
            'certificate-authority-data': Buffer.from(server.ca).toString('base64'),
          },
        },
      ],
      users: [{ name: 'test', user: { token } }],
      contexts: [{ name: 'test', context: { cluster: 'test', user: 'test' } }],
      'current-context': 'test',
    });
  }

  /** The API server goes down; its data stays. */
  async stop(): Promise<void> {
    await this.#server.stop();
  }

  /** Up again, on the same port with the same data. */
  async restart(): Promise<void> {
    await this.#server.start();
  }

  async close(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.close()));
    await this.#server.stop();
    await this.#server.close();
    await rm(this.directory, { recursive: true, force: true });
  }

  #accessWith(credential: ClusterCredential): KubeAccess {
    const { url: server, ca } = this.#server;
    return accessBy({ server, ca }, credential);
  }
}

/** Access by a credential that stays as it is. */
export function accessBy(
  { server, ca }: { readonly server: string; readonly ca: string },
  credential: ClusterCredential,
): KubeAccess {
  const isToken = 'token' in credential;
  return {
    server,
    tls: { ca, ...(isToken ? {} : { cert: credential.cert, key: credential.key }) },
    authorization: async () => (isToken ? `Bearer ${credential.token}` : undefined),
    refused: () => undefined,
  };
}
