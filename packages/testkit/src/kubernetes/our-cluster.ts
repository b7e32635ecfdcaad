import { randomUUID } from 'node:crypto';
import { createServer, type Server } from 'node:https';
import { join } from 'node:path';
import { createLogger, systemClock } from '@selvedge/api/node';
import {
  accessDefinitions,
  type Authenticator,
  type ApiServer,
  createApiServer,
  generateSigningKeyPem,
  parseSigningKeys,
  ServiceAccountAuthenticator,
  serviceAccountDefinition,
  tokenRequestAction,
  type UserInfo,
} from '@selvedge/apiserver';
import { hubResourceDefinitions } from '@selvedge/hub';
import { openSqliteStore, type Store } from '@selvedge/store';
import { loopbackCertificate } from '../loopback-certificate.ts';
import { clusterDefinitions } from './cluster-definitions.ts';
import type { ClusterCredential, ClusterServer, ClusterUser } from './cluster-server.ts';
import { freePort } from '../free-port.ts';
import { servePodLog } from './simulated/pod-log.ts';

const issuer = 'https://cluster.example';
/** Kinds that our API server's package or the hub define as Kubernetes does. */
const coreGroups = new Set(['namespaces', 'configmaps', 'secrets', 'events', 'leases']);

/** Our own API server with Kubernetes' kinds, over HTTPS and a true store. */
export class OurCluster implements ClusterServer {
  readonly abilities = {
    customResourceDefinitions: false,
    admissionWebhooks: false,
    builtInValidation: false,
    collectsGarbage: true,
  };
  readonly administrator: { readonly token: string } = { token: randomUUID() };
  readonly url: string;
  readonly ca: string;
  readonly #port: number;
  readonly #key: string;
  readonly #directory: string;
  readonly #users = new Map<string, UserInfo>();
  readonly #signingKeys = parseSigningKeys(generateSigningKeyPem());
  #running: { readonly https: Server; readonly api: ApiServer; readonly store: Store } | undefined;

  private constructor(directory: string, port: number, tls: { key: string; certificate: string }) {
    this.#directory = directory;
    this.#port = port;
    this.#key = tls.key;
    this.ca = tls.certificate;
    this.url = `https://127.0.0.1:${port}`;
    this.#users.set(this.administrator.token, { name: 'admin', groups: ['system:masters'] });
  }

  /** Nothing runs yet. */
  static async open(directory: string): Promise<OurCluster> {
    return new OurCluster(directory, await freePort(), await loopbackCertificate());
  }

  async credentialFor({ name, groups = [] }: ClusterUser): Promise<ClusterCredential> {
    const token = randomUUID();
    this.#users.set(token, { name, groups: [...groups, 'system:authenticated'] });
    return { token };
  }

  async start(): Promise<void> {
    const clock = systemClock;
    const logger = createLogger({ level: 'silent' });
    const store = await openSqliteStore({
      path: join(this.#directory, 'store.db'),
      clock,
      logger,
      progressIntervalMilliseconds: 500,
    });
    const tokens = { store: store.objects, keys: () => this.#signingKeys, issuers: () => [issuer], clock };
    const hubKinds = hubResourceDefinitions({
      fleet: store.fleet,
      objects: store.objects,
      clock,
      connectedWithinSeconds: 60,
      issueEnrollmentToken: async (token) => token,
      client: () => api.client({ name: 'admin', groups: ['system:masters'] }),
    }).filter(({ ref }) => coreGroups.has(ref.plural));
    const known: Authenticator = {
      authenticate: async ({ bearerToken }) => this.#users.get(bearerToken ?? ''),
    };
    const api: ApiServer = await createApiServer({
      definitions: [
        ...hubKinds,
        ...accessDefinitions(store.objects),
        serviceAccountDefinition(tokenRequestAction(tokens)),
        ...clusterDefinitions(),
      ],
      authenticators: [known, new ServiceAccountAuthenticator(tokens)],
      store: store.objects,
      clock,
      logger,
    });
    const https = createServer({ key: this.#key, cert: this.ca }, (req, res) => {
      if (!servePodLog(api.client({ name: 'kubelet', groups: ['system:masters'] }), req, res))
        void api.handle(req, res, {});
    });
    await new Promise<void>((resolve, reject) => {
      https.once('error', reject);
      https.listen(this.#port, '127.0.0.1', resolve);
    });
    this.#running = { https, api, store };
  }

  async stop(): Promise<void> {
    if (!this.#running) return;
    const { https, api, store } = this.#running;
    this.#running = undefined;
    await api.close();
    https.closeAllConnections();
    await new Promise((resolve) => https.close(resolve));
    await store.close();
  }

  async close(): Promise<void> {
    await this.stop();
  }
}
