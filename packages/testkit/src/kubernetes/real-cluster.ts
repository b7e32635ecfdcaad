import { type ChildProcess, spawn } from 'node:child_process';
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock } from '@selvedge/api/node';
import { type ClientAuthority, createClientAuthority } from './client-authority.ts';
import { freePort } from '../free-port.ts';
import type { ClusterCredential, ClusterServer, ClusterUser } from './cluster-server.ts';

const programs = ['kube-apiserver', 'etcd'] as const;

/** Why there is no real kube-apiserver here; undefined: there is one. As envtest: `KUBEBUILDER_ASSETS` names the folder. */
export function whyNoKubeApiserver(): string | undefined {
  const folder = process.env['KUBEBUILDER_ASSETS'];
  if (folder === undefined) return 'KUBEBUILDER_ASSETS names no folder with kube-apiserver and etcd';
  const missing = programs.filter((program) => !isProgram(join(folder, program)));
  return missing.length > 0 ? `${missing.join(' and ')} not in KUBEBUILDER_ASSETS` : undefined;
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

interface Ports {
  readonly etcdClients: number;
  readonly etcdPeers: number;
  readonly api: number;
}

/** A true kube-apiserver with an etcd, on free loopback ports and data of its own. No controllers, no scheduler, no kubelet. */
export class RealCluster implements ClusterServer {
  readonly abilities = {
    customResourceDefinitions: true,
    admissionWebhooks: true,
    builtInValidation: true,
    collectsGarbage: false,
  };
  readonly administrator: { readonly token: string } = { token: randomUUID() };
  readonly url: string;
  readonly #directory: string;
  readonly #ports: Ports;
  readonly #authority: ClientAuthority;
  #etcd: ChildProcess | undefined;
  #api: ChildProcess | undefined;

  private constructor(directory: string, ports: Ports, authority: ClientAuthority) {
    this.#directory = directory;
    this.#ports = ports;
    this.#authority = authority;
    this.url = `https://127.0.0.1:${ports.api}`;
  }

  /** Nothing runs yet. */
  static async open(directory: string): Promise<RealCluster> {
    const [etcdClients, etcdPeers, api] = await Promise.all([freePort(), freePort(), freePort()]);
    const authority = await createClientAuthority();
    const cluster = new RealCluster(directory, { etcdClients, etcdPeers, api }, authority);
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    await writeFile(cluster.#path('sa.key'), privateKey.export({ type: 'pkcs1', format: 'pem' }));
    await writeFile(cluster.#path('tokens.csv'), `${cluster.administrator.token},admin,1,system:masters\n`);
    await writeFile(cluster.#path('client-ca.crt'), authority.certificate);
    return cluster;
  }

  get ca(): string {
    return readFileSync(this.#path('certs/apiserver.crt'), 'utf8');
  }

  async credentialFor(user: ClusterUser): Promise<ClusterCredential> {
    return this.#authority.issue(user);
  }

  async start(): Promise<void> {
    if (this.#etcd === undefined) this.#etcd = this.#startEtcd();
    this.#api = this.#startApi();
    await this.#until(() => existsSync(this.#path('certs/apiserver.crt')));
    await this.#until(() => this.#isReady());
  }

  /** At once, as a machine that fails: in order it would wait for the watches. */
  async stop(): Promise<void> {
    if (this.#api) await end(this.#api, 'SIGKILL');
    this.#api = undefined;
  }

  async close(): Promise<void> {
    await this.stop();
    if (this.#etcd) await end(this.#etcd, 'SIGTERM');
    this.#etcd = undefined;
  }

  #startEtcd(): ChildProcess {
    const { etcdClients, etcdPeers } = this.#ports;
    return this.#spawn('etcd', {
      'data-dir': this.#path('etcd'),
      'listen-client-urls': `http://127.0.0.1:${etcdClients}`,
      'advertise-client-urls': `http://127.0.0.1:${etcdClients}`,
      'listen-peer-urls': `http://127.0.0.1:${etcdPeers}`,
      'initial-advertise-peer-urls': `http://127.0.0.1:${etcdPeers}`,
      // Tests care for what is written, not for power cuts.
      'unsafe-no-fsync': 'true',
    });
  }

  #startApi(): ChildProcess {
    return this.#spawn('kube-apiserver', {
      'etcd-servers': `http://127.0.0.1:${this.#ports.etcdClients}`,
      'secure-port': String(this.#ports.api),
      'bind-address': '127.0.0.1',
      'cert-dir': this.#path('certs'),
      'service-account-issuer': this.url,
      'service-account-key-file': this.#path('sa.key'),
      'service-account-signing-key-file': this.#path('sa.key'),
      'service-cluster-ip-range': '10.0.0.0/24',
      'authorization-mode': 'RBAC',
      'token-auth-file': this.#path('tokens.csv'),
      'client-ca-file': this.#path('client-ca.crt'),
      // No controller makes service accounts for pods here.
      'disable-admission-plugins': 'ServiceAccount',
      'kubelet-preferred-address-types': 'InternalIP',
    });
  }

  #spawn(program: string, options: Record<string, string>): ChildProcess {
    const flags = Object.entries(options).map(([name, value]) => `--${name}=${value}`);
    const path = join(process.env['KUBEBUILDER_ASSETS'] ?? '', program);
    // Ends with this process, also when that is killed.
    const bound = ['--pdeathsig', 'KILL', path, ...flags];
    return spawn('setpriv', bound, { stdio: 'ignore', cwd: this.#directory });
  }

  async #isReady(): Promise<boolean> {
    const { request } = await import('node:https');
    return new Promise((resolve) => {
      const headers = { authorization: `Bearer ${this.administrator.token}` };
      const req = request(`${this.url}/readyz`, { headers, ca: this.ca, agent: false }, (res) => {
        res.resume();
        resolve(res.statusCode === 200);
      });
      req.on('error', () => resolve(false));
      req.end();
    });
  }

  async #until(isSo: () => boolean | Promise<boolean>): Promise<void> {
    const deadline = systemClock.now().getTime() + 120_000;
    while (!(await isSo())) {
      const hasEnded = [this.#etcd, this.#api].some(
        (p) => p && (p.exitCode !== null || p.signalCode !== null),
      );
      if (hasEnded) throw new Error('kube-apiserver or etcd ended at its start');
      if (systemClock.now().getTime() > deadline) throw new Error('kube-apiserver did not get ready');
      await systemClock.sleep(200);
    }
  }

  #path(name: string): string {
    return join(this.#directory, name);
  }
}

async function end(program: ChildProcess, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
  if (program.exitCode !== null || program.signalCode !== null) return;
  const ended = new Promise((resolve) => program.once('exit', resolve));
  program.kill(signal);
  const kill = setTimeout(() => program.kill('SIGKILL'), 10_000);
  await ended;
  clearTimeout(kill);
}
