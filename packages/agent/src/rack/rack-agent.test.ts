import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { RackImage } from '@selvedge/api';
import { sha256Digest } from '@selvedge/api/node';
import { freePort } from '@selvedge/testkit';
import { ImageRegistry } from '../depot/testing/image-registry.ts';
import { NoRuntimeDriver } from '../drivers/none/no-runtime-driver.ts';
import { systemClock } from '@selvedge/api/node';
import { readStatus } from '../commands/read-status.ts';
import { formatStatus } from '../commands/format-status.ts';
import { eventually, makeStateDir, startTestAgent } from '../testing/test-agent.ts';
import { TestHub } from '../testing/test-hub.ts';
import { sampleMac, sampleMachine, sampleRack } from './life/testing/sample-order.ts';
import { FakeBox } from './testing/fake-box.ts';

const { uid } = sampleMachine();
const provision = { image: 'tiny', hostname: 'web-1', instanceId: 'one' };

interface Lab {
  readonly hub: TestHub;
  readonly registry: ImageRegistry;
  readonly stateDir: string;
  readonly port: number;
  readonly box: FakeBox;
  readonly image: RackImage;
  readonly bytes: Buffer;
}

async function startLab(t: TestContext): Promise<Lab> {
  const hub = await TestHub.start();
  const registry = await ImageRegistry.start();
  const state = await makeStateDir();
  t.after(async () => {
    await hub.close();
    await registry[Symbol.asyncDispose]();
    await state[Symbol.asyncDispose]();
  });
  for (const name of ['vmlinuz', 'initrd.img']) await writeFile(join(state.path, name), name);
  const port = await freePort();
  const box = new FakeBox(() => `http://127.0.0.1:${port}`, { mac: sampleMac });
  const bytes = Buffer.alloc(5 * 1024 * 1024, 7);
  const digest = registry.addArtifact('machines/tiny:1', { 'disk.img': bytes });
  const image: RackImage = {
    name: 'tiny',
    architecture: 'amd64',
    bootModes: ['BIOS'],
    format: 'Raw',
    confirmation: 'CloudInit',
    namespace: 'machines',
    reference: `${registry.address}/machines/tiny@${digest}`,
    digest: sha256Digest(bytes),
    sizeBytes: bytes.length,
  };
  hub.epoch = 1;
  return { hub, registry, stateDir: state.path, port, box, image, bytes };
}

function want(hub: TestHub, rack: Parameters<typeof sampleRack>[0]): void {
  hub.policy = { timeZone: 'UTC', rack: sampleRack(rack) };
  hub.epoch += 1;
  hub.publish();
}

test('a site with a rack: the hub hears of a box, and what it wants is done, also while it is away', async (t) => {
  const { hub, registry, stateDir, port, box, image, bytes } = await startLab(t);
  want(hub, { images: [image], machines: [] });
  await using agent = startTestAgent({
    stateDir,
    token: hub.token(),
    createDriver: () => new NoRuntimeDriver(systemClock),
    depot: { directory: join(stateDir, 'depot'), insecureRegistries: [registry.address], reserveBytes: 0 },
    rack: { listen: { host: '127.0.0.1', port }, bootFilesDir: stateDir, timings: { powerPollSeconds: 1 } },
  });
  await eventually('the boot server answers', async () =>
    box.askWhatToBoot().then(
      ({ boot }) => boot === 'Wait',
      () => false,
    ),
  );
  await eventually('the hub hears of the box', () => hub.machines.find(`box:${sampleMac}`) !== undefined);
  assert.equal(hub.machines.rack?.networks.length, 0);
  want(hub, { images: [image], machines: [sampleMachine()] });
  // Not the box is asked: who asks too often is not answered.
  await eventually('it is accepted', () => hub.machines.find(uid)?.phase === 'Inspecting');
  assert.equal((await box.runSystem())?.name, 'poweroff');
  await eventually('the hub knows it as Available', () => hub.machines.find(uid)?.phase === 'Available');
  assert.equal(hub.machines.find(uid)?.disks, 'Blank');

  want(hub, { images: [image], machines: [sampleMachine({ generation: 2, provision })] });
  await eventually('the image is here', () => hub.machines.rack?.images[0]?.state === 'Ready');
  await eventually('it is being provisioned', () => hub.machines.find(uid)?.phase === 'Provisioning');
  await hub.close();
  registry.isDown = true;
  assert.equal((await box.runSystem())?.name, 'reboot');
  assert.deepEqual(box.disk, bytes);
  assert.equal((await box.askWhatToBoot()).boot, 'Disk');
  assert.equal(await box.phoneHome(), 200);
  const status = await readStatus(stateDir, systemClock.now());
  assert.equal(status.machines[0]?.phase, 'Provisioned');
  assert.match(formatStatus(status, systemClock.now()), /MACHINE.*\n.*Provisioned/);
  await agent.stop();
});

test('an agent that is killed at each step of a machine goes on where it was', async (t) => {
  let agent: ChildProcess | undefined;
  const kill = async () => {
    if (agent === undefined || agent.exitCode !== null || agent.signalCode !== null) return;
    const ended = once(agent, 'exit');
    agent.kill('SIGKILL');
    await ended;
  };
  t.after(kill);
  const { hub, registry, stateDir, port, box, image, bytes } = await startLab(t);
  want(hub, { images: [image], machines: [sampleMachine({ provision })] });
  const program = join(import.meta.dirname, '../testing/rack-agent-program.ts');
  const restart = async () => {
    await kill();
    t.signal.throwIfAborted();
    const flags = [stateDir, hub.token(), String(port), stateDir, registry.address];
    agent = spawn(process.execPath, [program, ...flags], { stdio: ['ignore', 'inherit', 'inherit'] });
  };
  /** The rack is away for a moment; the box asks until it is there. */
  const patiently = async <T>(ask: () => Promise<T>): Promise<T> => {
    let found: { answer: T } | undefined;
    await eventually('the rack answers', async () => {
      found = await ask().then(
        (answer) => ({ answer }),
        () => undefined,
      );
      return found !== undefined;
    });
    return (found as unknown as { answer: T }).answer;
  };
  await restart();
  let nonce = '';
  await eventually('it is to boot the system', async () => {
    const told = await box.askWhatToBoot().catch(() => undefined);
    nonce = told?.nonce ?? '';
    return told?.boot === 'System';
  });
  await restart();
  assert.equal(await patiently(() => box.openSession(nonce)), 200);
  const seen: string[] = [];
  while (seen.at(-1) !== 'reboot' && seen.length < 10) {
    t.signal.throwIfAborted();
    const task = await patiently(() => box.task());
    if (task === undefined) continue;
    seen.push(task.name);
    await restart();
    await patiently(() => box.carryOut(task));
  }
  assert.deepEqual(seen, ['collect', 'write', 'seed', 'reboot']);
  assert.deepEqual(box.disk, bytes);
  await restart();
  assert.equal((await patiently(() => box.askWhatToBoot())).boot, 'Disk');
  await restart();
  assert.equal(await patiently(() => box.phoneHome()), 200);
  await restart();
  await eventually('the hub hears of it', () => hub.machines.find(uid)?.phase === 'Provisioned');
  const { timeline = [] } = hub.machines.find(uid) ?? {};
  assert.ok(timeline.some(({ reason }) => reason === 'Confirmed'));
});
