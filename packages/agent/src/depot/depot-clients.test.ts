import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { promisify } from 'node:util';
import { freePort, getTool, requireTool, startDockerRegistry, startTcpLink } from '@selvedge/testkit';
import { openTestDepot, request, temporaryDirectory } from './testing/depot-under-test.ts';
import { ImageRegistry } from './testing/image-registry.ts';

const mib = 2 ** 20;
const run = promisify(execFile);

/** Images that no test changes, in a real registry, made by a real client. */
async function pushImages(
  images: Readonly<Record<string, readonly (number | Buffer)[]>>,
  to: string,
): Promise<Buffer[]> {
  await using made = await ImageRegistry.start();
  const layers: Buffer[] = [];
  for (const [name, parts] of Object.entries(images)) {
    layers.push(
      ...made.addImage(
        name,
        parts.map((part) => (part === 0 ? (layers[0] as Buffer) : part)),
      ).layers,
    );
    await skopeo(
      'copy',
      '--src-tls-verify=false',
      '--dest-tls-verify=false',
      `docker://${made.address}/${name}`,
      `docker://${to}/${name}`,
    );
  }
  return layers;
}

async function skopeo(...args: string[]): Promise<string> {
  const { stdout } = await run(getTool('skopeo'), ['--insecure-policy', ...args], { timeout: 60_000 });
  return stdout;
}

describe(
  'the depot between a real registry and real clients',
  requireTool('docker-registry', 'skopeo'),
  () => {
    test('each blob goes over the link once, however often that is cut, and skopeo gets it from the depot when the registry is gone', async (t) => {
      await using registry = await startDockerRegistry();
      await pushImages({ 'shop/till:1': [6 * mib, mib], 'shop/kiosk:1': [0, 2 * mib] }, registry.address);
      await using link = await startTcpLink({ target: { port: registry.port } });
      const at = `127.0.0.1:${link.port}`;
      const port = await freePort();
      const directory = await temporaryDirectory(t);
      const depot = await openTestDepot({
        directory,
        insecureRegistries: [at],
        listen: { host: '127.0.0.1', port },
        policy: { bytesPerSecond: 4 * mib },
      });
      t.after(() => depot.close());
      link.shape({ delayMs: 20, lossPercent: 0.2 });
      const fetching = Promise.all(
        ['shop/till:1', 'shop/kiosk:1'].map((name) => depot.ensure(`${at}/${name}`, request())),
      );
      for (let cuts = 0; cuts < 3; cuts++) {
        await wait(400);
        link.drop();
      }
      const [till] = await fetching;
      assert.ok(till);
      const bytes = 9 * mib;
      assert.ok(
        link.passed.fromTarget < bytes * 1.15,
        `${link.passed.fromTarget} bytes came over the link for ${bytes}`,
      );
      await registry.stop();
      const output = join(directory, 'copied');
      const name = `docker://127.0.0.1:${port}/127.0.0.1__${link.port}/shop/till`;
      await skopeo('copy', '--src-tls-verify=false', `${name}@${till.digest}`, `dir:${output}`);
      assert.equal((await readdir(output)).filter((file) => /^[0-9a-f]{64}$/.test(file)).length, 3);
      const tags = JSON.parse(await skopeo('list-tags', '--tls-verify=false', name)) as { Tags: string[] };
      assert.deepEqual(tags.Tags, ['1']);
      await assert.rejects(
        skopeo('copy', '--dest-tls-verify=false', `dir:${output}`, `${name}:2`),
        /405|unsupported|not allowed|read only/i,
      );
    });

    test('three nodes pull through it, and the image is fetched once', async (t) => {
      await using registry = await startDockerRegistry();
      await pushImages({ 'shop/till:1': [3 * mib, mib] }, registry.address);
      await using link = await startTcpLink({ target: { port: registry.port } });
      const at = `127.0.0.1:${link.port}`;
      const port = await freePort();
      const directory = await temporaryDirectory(t);
      const depot = await openTestDepot({
        directory,
        insecureRegistries: [at],
        listen: { host: '127.0.0.1', port },
      });
      t.after(() => depot.close());
      const image = await depot.ensure(`${at}/shop/till:1`, request());
      assert.ok(image);
      const name = `docker://127.0.0.1:${port}/127.0.0.1__${link.port}/shop/till:1`;
      await Promise.all(
        [1, 2, 3].map((node) =>
          skopeo('copy', '--src-tls-verify=false', name, `dir:${join(directory, `node-${node}`)}`),
        ),
      );
      assert.ok(
        link.passed.fromTarget < 4 * mib * 1.05,
        `${link.passed.fromTarget} bytes came over the link`,
      );
    });

    test(
      'containerd pulls by its own mirror configuration, also when the registry is gone',
      requireTool('containerd', 'ctr', 'root'),
      async (t) => {
        await using registry = await startDockerRegistry();
        await pushImages({ 'shop/till:1': [mib] }, registry.address);
        const directory = await temporaryDirectory(t);
        const port = await freePort();
        const depot = await openTestDepot({
          directory: join(directory, 'depot'),
          insecureRegistries: [registry.address],
          listen: { host: '127.0.0.1', port },
        });
        t.after(() => depot.close());
        const image = `${registry.address}/shop/till:1`;
        const kept = await depot.ensure(image, request());
        await registry.stop();
        const hosts = join(directory, 'certs.d');
        await mkdir(join(hosts, `127.0.0.1_${registry.port}_`), { recursive: true });
        const configuration = `server = "http://${registry.address}"\n\n[host."http://127.0.0.1:${port}"]\n  capabilities = ["pull", "resolve"]\n`;
        await writeFile(join(hosts, `127.0.0.1_${registry.port}_`, 'hosts.toml'), configuration);
        await using containerd = await startContainerd(directory);
        for (const name of [image, `${registry.address}/shop/till@${kept?.digest}`]) {
          await containerd.ctr('content', 'fetch', '--hosts-dir', hosts, name);
        }
        const content = await containerd.ctr('content', 'ls', '-q');
        assert.ok(content.includes(kept?.digest ?? '-'), content);
      },
    );
  },
);

async function startContainerd(
  directory: string,
): Promise<AsyncDisposable & { ctr(...args: string[]): Promise<string> }> {
  const socket = join(directory, 'c.sock');
  const configuration = join(directory, 'containerd.toml');
  const folders = [`root = "${join(directory, 'root')}"`, `state = "${join(directory, 'state')}"`];
  const disabled =
    'disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs"]';
  await writeFile(
    configuration,
    [
      'version = 2',
      ...folders,
      disabled,
      '[grpc]',
      `  address = "${socket}"`,
      '[ttrpc]',
      `  address = "${socket}.ttrpc"`,
      '',
    ].join('\n'),
  );
  const child = spawn(getTool('containerd'), ['--config', configuration], { stdio: 'ignore' });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  const ctr = async (...args: string[]) => {
    const { stdout } = await run(getTool('ctr'), ['--address', socket, '--namespace', 'test', ...args], {
      timeout: 60_000,
    });
    return stdout;
  };
  for (let tries = 0; ; tries++) {
    const isThere = await ctr('version').then(
      () => true,
      () => false,
    );
    if (isThere) break;
    if (tries > 100 || child.exitCode !== null) throw new Error('containerd does not answer');
    await wait(100);
  }
  return {
    ctr,
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM');
      await ended;
    },
  };
}
