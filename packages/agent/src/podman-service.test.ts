import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { systemClock } from '@selvedge/api/node';
import { PodmanService } from './podman-service.ts';
import { eventually, listLogger, makeStateDir, type LogLine } from './testing/test-agent.ts';

/** Stands in for Podman at the border: listens where it is told and notes its pid. */
const program = `#!${process.execPath}
import { appendFileSync } from 'node:fs';
import { createServer } from 'node:net';
const path = process.argv[5].slice('unix://'.length);
createServer((s) => s.end()).listen(path);
appendFileSync(process.env.PIDS, process.pid + '\\n');
`;

async function setUp(folder = 'state') {
  const dir = await makeStateDir();
  const stateDir = join(dir.path, folder);
  await mkdir(stateDir);
  const pids = join(dir.path, 'pids');
  await writeFile(join(dir.path, 'podman'), program);
  await chmod(join(dir.path, 'podman'), 0o755);
  const log: LogLine[] = [];
  const services: PodmanService[] = [];
  const service = () => {
    const made = new PodmanService({
      stateDir,
      runtimeDir: dir.path,
      environment: { PIDS: pids },
      clock: systemClock,
      logger: listLogger(log),
      program: join(dir.path, 'podman'),
    });
    services.push(made);
    return made;
  };
  const started = async () =>
    (await readFile(pids, 'utf8').catch(() => '')).split('\n').filter(Boolean).map(Number);
  return {
    service,
    started,
    log,
    async [Symbol.asyncDispose]() {
      await Promise.all(services.map((one) => one.stop()));
      await dir[Symbol.asyncDispose]();
    },
  };
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

describe('the Podman service of an agent', () => {
  test('it answers, is started again when it ends, and ends with the agent', async () => {
    await using scene = await setUp();
    const { service, started, log } = scene;
    const podman = service();
    await podman.start();
    const [first = 0] = await started();
    assert.ok(isAlive(first));
    assert.ok(existsSync(podman.socketPath));
    process.kill(first, 'SIGKILL');
    await eventually('its end is noticed', () =>
      log.some((line) => line.message.includes('starting it again')),
    );
    let second = 0;
    for (let tries = 0; second === 0 && tries < 200; tries++) {
      await systemClock.sleep(50);
      second = (await started())[1] ?? 0;
    }
    await podman.stop();
    await eventually('it has ended', () => !isAlive(second));
    assert.equal(existsSync(podman.socketPath), false);
  });

  test('what an agent that was killed left behind is ended', async () => {
    await using scene = await setUp();
    const { service, started } = scene;
    const left = service();
    await left.start();
    const [leftPid = 0] = await started();
    const next = service();
    await next.start();
    await eventually('the old one has ended', () => !isAlive(leftPid));
    await left.stop();
    await next.stop();
    for (const pid of await started()) await eventually('all have ended', () => !isAlive(pid));
  });

  test('a state directory with a long path gets a socket with a short one', async () => {
    await using scene = await setUp('x'.repeat(100));
    const { service, started } = scene;
    const podman = service();
    assert.ok(Buffer.byteLength(podman.socketPath) < 108);
    await podman.start();
    assert.equal((await started()).length, 1);
    assert.ok(existsSync(podman.socketPath));
    await podman.stop();
  });
});
