import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startTestAgent, type TestAgent } from '@selvedge/agent/testing';
import {
  applications,
  type Delivery,
  deliveries,
  enrollmentTokens,
  type KubeObject,
  namespaces,
  type RolloutStrategy,
} from '@selvedge/api';
import { createHttpClient, type HttpClient, loadKubeconfig, resourcePath } from '@selvedge/kube';
import { freePort, startTcpLink, type TcpLink } from '@selvedge/testkit';
import { bundledPrograms } from '../../quickstart/lab/lab.ts';

const namespace = 'shop';
const application = 'till';

/**
 * The bundled hub as a process of its own, and real agents in this one that come to it over HTTPS on loopback through one
 * link that can be cut. Their drivers run nothing.
 */
export class BenchFleet implements AsyncDisposable {
  readonly #folder: string;
  readonly #hub: ChildProcess;
  readonly #client: HttpClient;
  readonly #agents: TestAgent[] = [];
  readonly link: TcpLink;

  private constructor(parts: { folder: string; hub: ChildProcess; client: HttpClient; link: TcpLink }) {
    this.#folder = parts.folder;
    this.#hub = parts.hub;
    this.#client = parts.client;
    this.link = parts.link;
  }

  /** @param parent folder for the data of all of them; default: the system's folder for temporary files. */
  static async start(agents: number, parent: string = tmpdir()): Promise<BenchFleet> {
    const folder = await mkdtemp(join(parent, 'svg-bench-rollout-'));
    const port = await freePort();
    const hub = await startHub(folder, port);
    const link = await startTcpLink({ target: { host: '127.0.0.1', port } });
    const kubeconfig = await loadKubeconfig(join(folder, 'hub', 'admin.kubeconfig'));
    const fleet = new BenchFleet({ folder, hub, client: createHttpClient({ kubeconfig }), link });
    try {
      await fleet.#addAgents(agents);
      return fleet;
    } catch (error) {
      await fleet[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Gives every site this version of the application. @param manifests of it; default: one ConfigMap. */
  async apply(version: string, rollout: RolloutStrategy, manifests = configMapOf(version)): Promise<void> {
    await this.#client.apply(
      applications,
      {
        apiVersion: 'selvedge.dev/v1alpha1',
        kind: 'Application',
        metadata: { name: application, namespace },
        spec: {
          source: { inline: { manifests } },
          images: { tags: 'Keep' },
          placement: { siteSelector: { matchLabels: { tier: 'store' } } },
          rollout,
        },
      } as KubeObject,
      { fieldManager: 'bench', force: true },
    );
  }

  /** Waits until every site has a Delivery and all of them are so. */
  async until(what: string, isSo: (delivery: Delivery) => boolean, seconds = 180): Promise<Delivery[]> {
    const end = performance.now() + seconds * 1000;
    for (;;) {
      const { items } = await this.#client.list<Delivery>(deliveries, { namespace });
      if (items.length === this.#agents.length && items.every(isSo)) return items;
      if (performance.now() > end) {
        const example = items.find((delivery) => !isSo(delivery));
        throw new Error(`waited ${seconds} s in vain until ${what}; one is ${JSON.stringify(example)}`);
      }
      await sleep(250);
    }
  }

  /** Waits until nothing has passed the link for so long: what was said has been answered. */
  async untilQuiet(milliseconds: number, seconds = 120): Promise<void> {
    const end = performance.now() + seconds * 1000;
    while (this.link.idleMs < milliseconds) {
      if (performance.now() > end) throw new Error(`the link was never quiet for ${milliseconds} ms`);
      await sleep(50);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.link.restore();
    await Promise.all(this.#agents.map((agent) => agent[Symbol.asyncDispose]()));
    await this.#client.close();
    await stop(this.#hub);
    await this.link.close();
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #addAgents(count: number): Promise<void> {
    await this.#client.create(namespaces, {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: namespace },
    });
    const token = await this.#makeToken(count);
    for (let i = 0; i < count; i++) {
      const stateDir = join(this.#folder, 'agents', String(i));
      this.#agents.push(startTestAgent({ stateDir, token, longestWaitSeconds: 50 }));
    }
    const ended = this.#agents.map(({ done }) =>
      done.then(() => {
        throw new Error('an agent has ended');
      }),
    );
    await Promise.race([this.#untilJoined(), ...ended]);
  }

  async #untilJoined(): Promise<void> {
    await this.apply('0', { waves: [{ name: 'all', percent: 100 }] });
    await this.until('all have joined and run the first release', (d) => d.status.state === 'Running');
  }

  /** For so many sites, with the link as the hub's address. */
  async #makeToken(uses: number): Promise<string> {
    const name = 'bench';
    await this.#client.create(enrollmentTokens, {
      apiVersion: 'selvedge.dev/v1alpha1',
      kind: 'EnrollmentToken',
      metadata: { name },
      spec: { siteNameTemplate: 'shop-{random}', siteLabels: { tier: 'store' }, uses },
    } as KubeObject);
    const answer = await this.#client.request<KubeObject & { status: { token: string } }>({
      method: 'POST',
      path: resourcePath(enrollmentTokens, { name, subresource: 'token' }),
      body: { apiVersion: 'selvedge.dev/v1alpha1', kind: 'EnrollmentTokenRequest', metadata: { name } },
    });
    const [prefix, text = ''] = answer.status.token.split('.');
    const claims = JSON.parse(Buffer.from(text, 'base64url').toString()) as { hubs: string[] };
    claims.hubs = [`https://127.0.0.1:${this.link.port}`];
    return `${prefix}.${Buffer.from(JSON.stringify(claims)).toString('base64url')}`;
  }
}

function configMapOf(version: string): KubeObject[] {
  return [
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: application },
      data: { version },
    } as KubeObject,
  ];
}

async function startHub(folder: string, port: number): Promise<ChildProcess> {
  const [node, ...program] = bundledPrograms.cli;
  const logFile = join(folder, 'hub.log');
  const log = await open(logFile, 'w');
  const args = [...program, 'hub', '--data', join(folder, 'hub'), '--listen', `127.0.0.1:${port}`];
  const hub = spawn(node, args, { stdio: ['ignore', log.fd, log.fd] });
  await log.close();
  // However the bench ends, the hub that it started ends with it.
  process.once('exit', () => void hub.kill('SIGKILL'));
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
  while (!(await readFile(logFile, 'utf8')).includes('"hub ready"')) {
    if (hub.exitCode !== null) throw new Error(`the hub has ended: ${await readFile(logFile, 'utf8')}`);
    await sleep(20);
  }
  return hub;
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGTERM');
  await once(child, 'exit');
}
