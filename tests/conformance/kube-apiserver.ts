import { type ChildProcess, spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '@selvedge/api/node';
import { ApiUnderComparison } from './api-under-comparison.ts';

const programs = ['kube-apiserver', 'etcd'] as const;

/** As options of node:test: skips where `KUBEBUILDER_ASSETS` (as for envtest) names no kube-apiserver and etcd. */
export function requireKubeApiserver(): { skip: string | false } {
  const folder = process.env['KUBEBUILDER_ASSETS'];
  if (folder === undefined)
    return { skip: 'KUBEBUILDER_ASSETS names no folder with kube-apiserver and etcd' };
  const missing = programs.filter((program) => !isProgram(join(folder, program)));
  return { skip: missing.length > 0 && `${missing.join(' and ')} not in KUBEBUILDER_ASSETS` };
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** A true kube-apiserver with an etcd, on free loopback ports and data of its own, asked as an administrator. */
export async function startKubeApiserver(): Promise<ApiUnderComparison> {
  const assets = process.env['KUBEBUILDER_ASSETS'] ?? '';
  const data = await mkdtemp(join(tmpdir(), 'selvedge-kube-'));
  const [clients, peers, port] = await Promise.all([freePort(), freePort(), freePort()]);
  const token = 'comparison';
  await writeFile(join(data, 'tokens.csv'), `${token},admin,1,system:masters\n`);
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  await writeFile(join(data, 'sa.key'), privateKey.export({ type: 'pkcs1', format: 'pem' }));
  const started: ChildProcess[] = [];
  const start = (program: string, options: Record<string, string>) => {
    const flags = Object.entries(options).map(([name, value]) => `--${name}=${value}`);
    started.push(spawn(join(assets, program), flags, { stdio: 'ignore', cwd: data }));
  };
  start('etcd', {
    'data-dir': join(data, 'etcd'),
    'listen-client-urls': `http://127.0.0.1:${clients}`,
    'advertise-client-urls': `http://127.0.0.1:${clients}`,
    'listen-peer-urls': `http://127.0.0.1:${peers}`,
    'initial-advertise-peer-urls': `http://127.0.0.1:${peers}`,
  });
  start('kube-apiserver', {
    'etcd-servers': `http://127.0.0.1:${clients}`,
    'secure-port': String(port),
    'bind-address': '127.0.0.1',
    'cert-dir': join(data, 'certs'),
    'service-account-issuer': 'https://comparison.example',
    'service-account-key-file': join(data, 'sa.key'),
    'service-account-signing-key-file': join(data, 'sa.key'),
    'service-cluster-ip-range': '10.0.0.0/24',
    'authorization-mode': 'RBAC',
    'token-auth-file': join(data, 'tokens.csv'),
    'disable-admission-plugins': 'ServiceAccount',
  });
  const close = async () => {
    for (const program of started.toReversed()) await stop(program);
    await rm(data, { recursive: true, force: true });
  };
  const certificate = join(data, 'certs/apiserver.crt');
  try {
    await until(() => existsSync(certificate), started);
    const headers = { authorization: `Bearer ${token}` };
    const url = `https://127.0.0.1:${port}`;
    const api = new ApiUnderComparison({
      name: 'kube-apiserver',
      url,
      headers,
      ca: readFileSync(certificate),
      close,
    });
    await until(
      async () => (await api.send({ method: 'GET', path: '/readyz' }).catch(() => undefined))?.status === 200,
      started,
    );
    return api;
  } catch (error) {
    await close();
    throw error;
  }
}

async function until(
  isSo: () => boolean | Promise<boolean>,
  programs: readonly ChildProcess[],
): Promise<void> {
  const deadline = systemClock.now().getTime() + 120_000;
  while (!(await isSo())) {
    if (programs.some((p) => p.exitCode !== null))
      throw new Error('kube-apiserver or etcd ended at its start');
    if (systemClock.now().getTime() > deadline) throw new Error('kube-apiserver did not get ready');
    await systemClock.sleep(200);
  }
}

async function stop(program: ChildProcess): Promise<void> {
  if (program.exitCode !== null || program.signalCode !== null) return;
  const ended = new Promise((resolve) => program.once('exit', resolve));
  program.kill('SIGTERM');
  const kill = setTimeout(() => program.kill('SIGKILL'), 10_000);
  await ended;
  clearTimeout(kill);
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}
