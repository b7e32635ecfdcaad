import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type KubeObject, type Site, sites } from '@selvedge/api';
import { createHttpClient, type HttpClient, loadKubeconfig } from '@selvedge/kube';
import { type ClusterKind, ClusterUnderTest, freePort } from '@selvedge/testkit';
import { ChildProgram } from './child-program.ts';
import { HubProgram } from './hub-program.ts';
import { ProcessLedger } from './leftovers.ts';
import { poll } from './poll.ts';
import { runProgram } from './run-program.ts';

export interface LinkedClusterOptions {
  readonly kind: ClusterKind;
  readonly programs: { readonly cli: readonly string[]; readonly agent: readonly string[] };
}

const siteName = 'plant';

/**
 * A hub, a cluster and the agent beside it, each a process of its own (our own API server: in this one), and the service link between them
 * with `Site.spec.link: Full`. The hub's administrator may do everything in the cluster.
 */
export class LinkedCluster implements AsyncDisposable {
  readonly folder: string;
  readonly cluster: ClusterUnderTest;
  readonly hub: HubProgram;
  /** Reaches the cluster through hub and agent, as `selvedge kubeconfig` writes it. */
  readonly kubeconfigPath: string;
  readonly #options: LinkedClusterOptions;
  #client: HttpClient | undefined;
  #agent: ChildProgram | undefined;

  private constructor(
    options: LinkedClusterOptions,
    parts: { folder: string; cluster: ClusterUnderTest; hub: HubProgram },
  ) {
    this.#options = options;
    this.folder = parts.folder;
    this.cluster = parts.cluster;
    this.hub = parts.hub;
    this.kubeconfigPath = join(parts.folder, 'site.kubeconfig');
  }

  /** Resolves when a request through the link is answered by the cluster. */
  static async start(options: LinkedClusterOptions): Promise<LinkedCluster> {
    const folder = await mkdtemp(join(tmpdir(), 'svg-linked-'));
    const cluster = await ClusterUnderTest.start(options.kind);
    const ledger = await ProcessLedger.open(join(folder, 'processes'));
    const hub = new HubProgram({
      dataDir: join(folder, 'hub'),
      logFile: join(folder, 'hub.log'),
      port: await freePort(),
      program: options.programs.cli,
      ledger,
    });
    const linked = new LinkedCluster(options, { folder, cluster, hub });
    try {
      await hub.start();
      await linked.#letAdministratorIn();
      await linked.#joinSite(ledger);
      return linked;
    } catch (error) {
      const said = await linked.lastLines();
      await linked[Symbol.asyncDispose]();
      throw new Error(`the linked cluster did not come up: ${String(error)}\n${said}`, { cause: error });
    }
  }

  get agentPid(): number | undefined {
    return this.#agent?.exit === undefined ? this.#agent?.pid : undefined;
  }

  async lastLines(): Promise<string> {
    return `${await this.hub.lastLines()}\n${(await this.#agent?.lastLines()) ?? ''}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client?.close();
    await this.#agent?.stop();
    await this.hub.stop();
    await this.cluster.close();
    await rm(this.folder, { recursive: true, force: true });
  }

  /** What the site's RBAC has to say; only a real API server asks it. */
  async #letAdministratorIn(): Promise<void> {
    await this.cluster.client().request({
      method: 'POST',
      path: '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings',
      body: {
        apiVersion: 'rbac.authorization.k8s.io/v1',
        kind: 'ClusterRoleBinding',
        metadata: { name: 'hub-administrators' },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
        subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'Group', name: 'selvedge:system:masters' }],
      },
    });
  }

  async #joinSite(ledger: ProcessLedger): Promise<void> {
    const client = createHttpClient({ kubeconfig: await loadKubeconfig(this.hub.kubeconfig) });
    this.#client = client;
    await client.create<KubeObject>(sites, {
      apiVersion: 'selvedge.dev/v1alpha1',
      kind: 'Site',
      metadata: { name: siteName },
      spec: { link: 'Full' },
    });
    const tokenFile = join(this.folder, 'token');
    await writeFile(tokenFile, await this.#selvedge('site', 'token', siteName, '--hub-url', this.hub.url), {
      mode: 0o600,
    });
    this.#agent = await ChildProgram.start({
      name: 'agent',
      command: [
        ...this.#options.programs.agent,
        'run',
        '--state',
        join(this.folder, 'agent'),
        '--kubeconfig',
        this.cluster.kubeconfigPath,
        '--token-file',
        tokenFile,
      ],
      logFile: join(this.folder, 'agent.log'),
      ledger,
    });
    await this.#agent.ready(
      async () => {
        const site = await client.get<Site>(sites, { name: siteName });
        return site.status?.connectivity === 'Connected' ? true : undefined;
      },
      { seconds: 60, what: 'is connected' },
    );
    await this.#selvedge('kubeconfig', siteName, '--output', this.kubeconfigPath);
    await this.#untilLinked(client);
  }

  /** The site hears of its policy a little later than that it is known. */
  async #untilLinked(client: HttpClient): Promise<void> {
    let last: unknown;
    await poll(
      async () => {
        try {
          await client.request({
            method: 'POST',
            path: `/apis/selvedge.dev/v1alpha1/sites/${siteName}/proxy/api/v1/namespaces`,
            body: { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'linked' } },
          });
          return true;
        } catch (error) {
          last = error;
          return undefined;
        }
      },
      { seconds: 60, what: 'the link carries requests', why: async () => String(last) },
    );
  }

  async #selvedge(...args: readonly string[]): Promise<string> {
    const env = { ...process.env, KUBECONFIG: this.hub.kubeconfig };
    return (await runProgram([...this.#options.programs.cli, ...args], { env })).trim();
  }

  /** For messages. */
  async agentLog(): Promise<string> {
    return await readFile(join(this.folder, 'agent.log'), 'utf8').catch(() => '');
  }
}
