import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { getTool, requireTool, startDockerRegistry } from '@selvedge/testkit';
import { eventually } from '../gateway/testing/test-hub.ts';
import { RegistryLab } from './testing/registry-lab.ts';

const run = promisify(execFile);

/** Real clients, each by its own way to authenticate, resume and push. */
interface Clients {
  readonly lab: RegistryLab;
  readonly folder: string;
  readonly token: string;
  /** In the registry of the hub. */
  readonly image: string;
  readonly podman: (...args: readonly string[]) => Promise<string>;
  readonly skopeo: (...args: readonly string[]) => Promise<string>;
}

async function start(
  t: TestContext,
  storage: Parameters<typeof RegistryLab.start>[1] = {},
): Promise<Clients> {
  const lab = await RegistryLab.start(t, storage);
  const folder = await mkdtemp(join(tmpdir(), 'selvedge-clients-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const tool =
    (name: string) =>
    async (...args: readonly string[]) => {
      const { stdout } = await run(getTool(name), args, { maxBuffer: 10_000_000, timeout: 240_000 });
      return stdout;
    };
  const token = await lab.account('shop', 'builder', 'selvedge:image-pusher');
  return {
    lab,
    folder,
    token,
    image: `${lab.host}/shop/till:1`,
    podman: tool('podman'),
    skopeo: tool('skopeo'),
  };
}

/** An image with a layer of some megabytes; returns the name by which Podman knows it. */
async function build({ folder, podman }: Clients): Promise<string> {
  const name = `localhost/selvedge-registry-${randomBytes(6).toString('hex')}:1`;
  await writeFile(join(folder, 'big'), randomBytes(20_000_000));
  await writeFile(join(folder, 'Containerfile'), 'FROM scratch\nCOPY big /big\nCMD ["/big"]\n');
  await podman('build', '-q', '-t', name, folder);
  return name;
}

async function pushByPodman(t: TestContext, clients: Clients): Promise<void> {
  const { image, token, podman } = clients;
  const built = await build(clients);
  t.after(() => podman('rmi', '-f', built));
  const push = () => podman('push', '-q', '--tls-verify=false', '--creds', `builder:${token}`, built, image);
  // Bindings are followed with a little delay.
  await eventually(async () => (await push().catch(() => undefined)) !== undefined);
}

describe("the hub's registry and real clients", requireTool('podman', 'skopeo'), () => {
  test('Podman logs in, pushes and pulls', async (t) => {
    const clients = await start(t);
    const { folder, image, token, podman, lab } = clients;
    await pushByPodman(t, clients);
    const authFile = join(folder, 'auth.json');
    await podman(
      'login',
      '--tls-verify=false',
      '--authfile',
      authFile,
      '-u',
      'builder',
      '-p',
      token,
      lab.host,
    );
    t.after(() => podman('rmi', '-f', image).catch(() => undefined));
    const pulled = await podman('pull', '-q', '--tls-verify=false', '--authfile', authFile, image);
    assert.match(pulled, /^[0-9a-f]{64}/);
    const wrong = podman(
      'login',
      '--tls-verify=false',
      '--authfile',
      authFile,
      '-u',
      'x',
      '-p',
      'wrong',
      lab.host,
    );
    await assert.rejects(wrong, /invalid username\/password|unauthorized/i);
  });

  test('skopeo copies, inspects, lists and deletes', async (t) => {
    const clients = await start(t);
    const { lab, folder, image, skopeo } = clients;
    await pushByPodman(t, clients);
    const creds = `admin:${lab.administrator}`;
    const there = ['--tls-verify=false', '--creds', creds];
    const inspected = JSON.parse(await skopeo('inspect', ...there, `docker://${image}`)) as {
      Digest: string;
    };
    assert.match(inspected.Digest, /^sha256:/);
    const copy = `docker://${lab.host}/bank/till:2`;
    const both = [
      '--src-tls-verify=false',
      '--dest-tls-verify=false',
      '--src-creds',
      creds,
      '--dest-creds',
      creds,
    ];
    // Within one registry its layers are mounted, not sent.
    const before = await received(lab);
    await skopeo('copy', ...both, `docker://${image}`, copy);
    assert.ok((await received(lab)) - before < 100_000);
    await skopeo(
      'copy',
      '--src-tls-verify=false',
      '--src-creds',
      creds,
      copy,
      `oci:${join(folder, 'oci')}:till`,
    );
    const tags = JSON.parse(await skopeo('list-tags', ...there, `docker://${lab.host}/bank/till`)) as {
      Tags: string[];
    };
    assert.deepEqual(tags.Tags, ['2']);
    await skopeo('delete', ...there, copy);
    await assert.rejects(skopeo('inspect', ...there, copy), /manifest unknown|bank\/till/i);
  });

  test('with its content in another registry, too', { ...requireTool('docker-registry') }, async (t) => {
    const other = await startDockerRegistry({ hasLogin: true });
    t.after(() => other[Symbol.asyncDispose]());
    const folder = await mkdtemp(join(tmpdir(), 'selvedge-credentials-'));
    t.after(() => rm(folder, { recursive: true, force: true }));
    await writeFile(join(folder, 'credentials'), 'username=till\npassword=secret\n');
    const clients = await start(t, {
      registryStorage: `oci://${other.address}/of-the-hub`,
      registryStorageCredentials: join(folder, 'credentials'),
      insecureRegistry: [other.address],
    });
    await pushByPodman(t, clients);
    const { image, token, folder: own, skopeo } = clients;
    const from = ['--src-tls-verify=false', '--src-creds', `x:${token}`];
    await skopeo('copy', ...from, `docker://${image}`, `oci:${join(own, 'oci')}:till`);
    const direct = ['--tls-verify=false', '--creds', 'till:secret'];
    const found = await skopeo('inspect', ...direct, `docker://${other.address}/of-the-hub/shop/till:1`);
    assert.match(found, /of-the-hub\/shop\/till/);
  });

  test('containerd pulls and pushes', { ...requireTool('containerd', 'ctr') }, async (t) => {
    const clients = await start(t);
    const { lab, folder, image, token } = clients;
    await pushByPodman(t, clients);
    const socket = join(folder, 'containerd.sock');
    const roots = ['--root', join(folder, 'root'), '--state', join(folder, 'state'), '--address', socket];
    const containerd = spawn(getTool('containerd'), roots, { stdio: 'ignore' });
    const ended = new Promise<void>((resolve) => containerd.once('exit', () => resolve()));
    t.after(async () => {
      containerd.kill('SIGTERM');
      await ended;
    });
    const hosts = join(folder, 'hosts', lab.host);
    await mkdir(hosts, { recursive: true });
    const ca = join(lab.hub.data, 'keys', 'ca.crt');
    await writeFile(
      join(hosts, 'hosts.toml'),
      `server = "https://${lab.host}"\n[host."https://${lab.host}"]\n  ca = ${JSON.stringify(ca)}\n`,
    );
    const ctr = async (...args: readonly string[]) =>
      (await run(getTool('ctr'), ['-a', socket, ...args], { timeout: 120_000 })).stdout;
    await eventually(() => ctr('version').catch(() => undefined));
    const access = ['--hosts-dir', join(folder, 'hosts'), '--user', `builder:${token}`];
    await ctr('content', 'fetch', ...access, image);
    assert.match(await ctr('images', 'ls', '-q'), /shop\/till:1/);
    const renamed = `${lab.host}/shop/from-containerd:2`;
    await ctr('images', 'tag', image, renamed);
    await ctr('images', 'push', ...access, renamed);
    const manifest = await lab.ask({ path: '/v2/shop/from-containerd/manifests/2' });
    assert.equal(manifest.status, 200);
  });
});

async function received(lab: RegistryLab): Promise<number> {
  const metrics = (await lab.ask({ path: '/metrics' })).bytes.toString('utf8');
  return Number(/selvedge_registry_bytes_total\{direction="received"\} (\d+)/.exec(metrics)?.[1]);
}
