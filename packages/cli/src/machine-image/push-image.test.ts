import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { gzipSync, zstdDecompressSync } from 'node:zlib';
import { isStatusError } from '@selvedge/api';
import { createLogger, sha256Digest, systemClock } from '@selvedge/api/node';
import { startHub } from '@selvedge/hub';
import { loadKubeconfig } from '@selvedge/kube';
import {
  type DockerRegistry,
  dockerRegistryLogin,
  getTool,
  requireTool,
  startDockerRegistry,
  startTcpLink,
} from '@selvedge/testkit';
import { pushInspectionImage, pushMachineImage, type PushProgress } from './push-image.ts';
import { hubRegistry, otherRegistry, type RegistryAccess } from './registry-access.ts';

const run = promisify(execFile);
const mib = 1024 * 1024;
const aRegistry = requireTool('docker-registry');

interface Lab {
  readonly folder: string;
  readonly uploads: string;
  readonly file: (name: string, bytes: Uint8Array) => Promise<string>;
  readonly push: (file: string, to: Target) => ReturnType<typeof pushMachineImage>;
}

interface Target {
  readonly target: string;
  readonly access: RegistryAccess;
  readonly keepAsIs?: boolean;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: PushProgress) => void;
}

async function startLab(t: TestContext): Promise<Lab> {
  const folder = await mkdtemp(join(tmpdir(), 'svg-push-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const uploads = join(folder, 'uploads');
  const tempDirectory = folder;
  return {
    folder,
    uploads,
    file: async (name, bytes) => {
      await writeFile(join(folder, name), bytes);
      return join(folder, name);
    },
    push: (file, to) =>
      pushMachineImage({
        file,
        uploads,
        tempDirectory,
        clock: systemClock,
        signal: new AbortController().signal,
        ...to,
      }),
  };
}

async function startRegistry(t: TestContext, hasLogin = false): Promise<DockerRegistry> {
  const registry = await startDockerRegistry({ hasLogin });
  t.after(() => registry[Symbol.asyncDispose]());
  return registry;
}

async function startHubIn(t: TestContext, folder: string) {
  const hub = await startHub({
    data: join(folder, 'hub'),
    listen: '127.0.0.1:0',
    logger: createLogger({ level: 'silent' }),
  });
  t.after(() => hub.close());
  const access = hubRegistry(await loadKubeconfig(hub.kubeconfigPath));
  return { hub, access, host: new URL(hub.url).host };
}

function targetAt(address: string, login?: RegistryAccess['login']): Target {
  const access = otherRegistry({ host: address, isInsecure: true, ...(login && { login }) });
  return { target: `${address}/machines/debian:12`, access };
}

/** What the registry has under a name. */
async function fetchFrom(address: string, path: string): Promise<Buffer> {
  const accept = 'application/vnd.oci.image.manifest.v1+json';
  const answer = await fetch(`http://${address}/v2/machines/debian/${path}`, { headers: { accept } });
  assert.equal(answer.status, 200, path);
  return Buffer.from(await answer.arrayBuffer());
}

function pushError(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => assert.fail('it was pushed'),
    (error: unknown) => {
      assert.ok(isStatusError(error, (error as { reason: string }).reason as 'BadRequest'), String(error));
      return `${error.reason} ${error.message}`;
    },
  );
}

test(
  'a raw disk becomes an artifact of one compressed layer, whose facts are those of a MachineImage',
  aRegistry,
  async (t) => {
    const { file, push, folder } = await startLab(t);
    const registry = await startRegistry(t);
    const disk = Buffer.concat([randomBytes(mib), Buffer.alloc(20 * mib)]);
    const steps: string[] = [];
    const pushed = await push(await file('disk.raw', disk), {
      ...targetAt(registry.address),
      onProgress: ({ step, doneBytes, totalBytes }) => {
        assert.ok(doneBytes <= totalBytes);
        if (steps.at(-1) !== step) steps.push(step);
      },
    });
    assert.deepEqual([pushed.format, pushed.diskBytes], ['Raw', disk.length]);
    assert.ok(pushed.sizeBytes < 2 * mib);
    assert.deepEqual(steps, ['Packing', 'Sending']);
    const [, manifestDigest = ''] = pushed.reference.split('@');
    assert.equal(pushed.reference, `${registry.address}/machines/debian@${manifestDigest}`);
    const manifest = await fetchFrom(registry.address, 'manifests/12');
    assert.equal(sha256Digest(manifest), manifestDigest);
    const { layers, artifactType } = JSON.parse(manifest.toString()) as {
      layers: { digest: string; size: number }[];
      artifactType: string;
    };
    assert.equal(artifactType, 'application/vnd.selvedge.machine-image.v1');
    assert.deepEqual(
      layers.map(({ digest, size }) => [digest, size]),
      [[pushed.digest, pushed.sizeBytes]],
    );
    const layer = await fetchFrom(registry.address, `blobs/${pushed.digest}`);
    assert.ok(disk.equals(zstdDecompressSync(layer)));
    assert.deepEqual((await readdir(folder)).sort(), ['disk.raw', 'uploads']);
    assert.deepEqual(await readdir(join(folder, 'uploads')), []);
  },
);

test('what is compressed already, or is to stay as it is, is pushed as it is', aRegistry, async (t) => {
  const { file, push } = await startLab(t);
  const registry = await startRegistry(t);
  const to = targetAt(registry.address);
  const disk = randomBytes(mib + 100);
  const packed = gzipSync(disk);
  const fromGzip = await push(await file('disk.gz', packed), to);
  assert.equal(fromGzip.digest, sha256Digest(packed));
  assert.equal(fromGzip.diskBytes, Math.ceil(disk.length / 512) * 512);
  const asIs = await push(await file('disk.raw', disk), { ...to, keepAsIs: true });
  assert.deepEqual([asIs.digest, asIs.sizeBytes], [sha256Digest(disk), disk.length]);
  // Again: nothing is sent, and nothing is different.
  assert.deepEqual(await push(await file('disk.raw', disk), { ...to, keepAsIs: true }), asIs);
});

test(
  'of a qcow2 file the disk that it is counts, compressed or not',
  requireTool('docker-registry', 'qemu-img'),
  async (t) => {
    const { file, push, folder } = await startLab(t);
    const registry = await startRegistry(t);
    const source = join(folder, 'disk.qcow2');
    await run(getTool('qemu-img'), ['create', '-q', '-f', 'qcow2', source, '3G']);
    for (const path of [source, await file('disk.qcow2.gz', gzipSync(await readFile(source)))]) {
      const pushed = await push(path, targetAt(registry.address));
      assert.deepEqual([pushed.format, pushed.diskBytes], ['QCOW2', 3 * 1024 * mib]);
    }
  },
);

test('a push over a link that breaks goes on where it was', async (t) => {
  const { file, push, folder } = await startLab(t);
  const { hub, access, host } = await startHubIn(t, folder);
  const link = await startTcpLink({ target: { port: Number(new URL(hub.url).port) } });
  t.after(() => link.close());
  let drops = 2;
  const path = await file('disk.raw', randomBytes(20 * mib));
  const pushed = await push(path, {
    target: `${host}/default/debian`,
    access: { ...access, server: `https://127.0.0.1:${link.port}` },
    keepAsIs: true,
    onProgress: ({ step, doneBytes }) => {
      if (step !== 'Sending' || drops === 0 || doneBytes < (3 - drops) * 8 * mib + 2 * mib) return;
      drops -= 1;
      link.drop();
    },
  });
  assert.equal(drops, 0);
  assert.equal(pushed.digest, sha256Digest(await readFile(path)));
  // At most what was under way was sent twice.
  assert.ok(link.passed.toTarget < 37 * mib, `${link.passed.toTarget} bytes`);
});

test('a push that was broken off goes on with the next run', async (t) => {
  const { file, push, uploads, folder } = await startLab(t);
  const { access, host } = await startHubIn(t, folder);
  const path = await file('disk.raw', randomBytes(20 * mib));
  const to = { target: `${host}/default/debian`, access, keepAsIs: true };
  const stop = new AbortController();
  const first = push(path, {
    ...to,
    signal: stop.signal,
    onProgress: ({ step, doneBytes }) => {
      if (step === 'Sending' && doneBytes > 9 * mib) stop.abort(new Error('Ctrl-C'));
    },
  });
  await assert.rejects(first, /Ctrl-C/);
  assert.equal((await readdir(uploads)).length, 1);
  let least = Number.POSITIVE_INFINITY;
  await push(path, {
    ...to,
    onProgress: ({ step, doneBytes }) => {
      if (step === 'Sending') least = Math.min(least, doneBytes);
    },
  });
  assert.ok(least >= 8 * mib, `${least}`);
  assert.deepEqual(await readdir(uploads), []);
});

test('a registry that forgets what was begun is sent everything again', aRegistry, async (t) => {
  const { file, push, uploads } = await startLab(t);
  const registry = await startRegistry(t);
  const link = await startTcpLink({ target: { port: registry.port } });
  t.after(() => link.close());
  const disk = randomBytes(20 * mib);
  let drops = 1;
  const to = targetAt(`127.0.0.1:${link.port}`);
  const pushed = await push(await file('disk.raw', disk), {
    ...to,
    keepAsIs: true,
    onProgress: ({ step, doneBytes }) => {
      if (step !== 'Sending' || drops === 0 || doneBytes < 10 * mib) return;
      drops -= 1;
      link.drop();
    },
  });
  assert.equal(drops, 0);
  assert.ok(disk.equals(await fetchFrom(registry.address, `blobs/${pushed.digest}`)));
  const other = await file('other.raw', randomBytes(mib));
  const key = `${to.access.server} machines/debian ${sha256Digest(await readFile(other))}`;
  const note = join(uploads, sha256Digest(key).slice('sha256:'.length));
  await writeFile(note, `${to.access.server}/v2/machines/debian/blobs/uploads/gone?_state=x\n`);
  await push(other, { ...to, keepAsIs: true });
  assert.deepEqual(await readdir(uploads), []);
});

test(
  'a login is given to the registry that asks for it, and a wrong one is named without its password',
  aRegistry,
  async (t) => {
    const { file, push } = await startLab(t);
    const registry = await startRegistry(t, true);
    const path = await file('disk.raw', randomBytes(1000));
    await push(path, targetAt(registry.address, dockerRegistryLogin));
    const wrong = await pushError(
      push(path, targetAt(registry.address, { username: 'till', password: 'hunter2' })),
    );
    assert.match(wrong, /^Unauthorized .*as till push machines\/debian/);
    assert.doesNotMatch(wrong, /hunter2/);
    assert.match(await pushError(push(path, targetAt(registry.address))), /^Unauthorized .*without a login/);
  },
);

test('what is no disk is refused before anything is sent', async (t) => {
  const { file, push } = await startLab(t);
  const to = targetAt('127.0.0.1:1');
  const refused = async (name: string, bytes: Uint8Array) => pushError(push(await file(name, bytes), to));
  assert.match(await refused('empty', new Uint8Array()), /^BadRequest .*empty/);
  assert.match(await refused('vmdk', Buffer.from('KDMV')), /^BadRequest .*VMDK.*qemu-img convert/);
  assert.match(await refused('gz', gzipSync(randomBytes(mib)).subarray(0, 1000)), /^BadRequest .*gzip/);
  assert.match(await pushError(push('/no/such/file', to)), /^BadRequest .*cannot be read/);
  const elsewhere = push(await file('disk', randomBytes(10)), { ...to, target: 'Not A Place' });
  assert.match(await pushError(elsewhere), /^BadRequest .*HOST/);
});

test("images and inspection systems go into the hub's own registry as the user of the kubeconfig", async (t) => {
  const { file, push, folder } = await startLab(t);
  const { access, host } = await startHubIn(t, folder);
  const disk = await file('disk.raw', randomBytes(9 * mib));
  const pushed = await push(disk, { target: `${host}/default/debian`, access, keepAsIs: true });
  assert.equal(pushed.sizeBytes, 9 * mib);
  assert.ok(pushed.reference.startsWith(`${host}/default/debian@sha256:`));
  const nowhere = push(disk, { target: `${host}/nowhere/debian`, access });
  assert.match(await pushError(nowhere), /^NotFound .*no namespace "nowhere"/);
  const files = [
    { title: 'vmlinuz', path: await file('vmlinuz', randomBytes(100)) },
    { title: 'initrd.img', path: await file('initrd.img', randomBytes(100)) },
  ];
  const { reference } = await pushInspectionImage({
    files,
    target: `${host}/default/inspection:1`,
    access,
    clock: systemClock,
    signal: new AbortController().signal,
  });
  assert.match(reference, /default\/inspection@sha256:[0-9a-f]{64}$/);
});
