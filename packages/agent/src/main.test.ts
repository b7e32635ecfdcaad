import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { systemClock } from '@selvedge/api/node';
import { formatStatus } from './commands/format-status.ts';
import { type AgentStatus, readStatus } from './commands/read-status.ts';
import { eventually, makeStateDir, startTestAgent } from './testing/test-agent.ts';
import { statusBody, TestHub } from './testing/test-hub.ts';

const main = join(import.meta.dirname, 'main.ts');
const noPodman = ['--podman-socket', '/nonexistent/podman.sock'];

function start(...args: string[]) {
  const child = spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
  }
  const code = new Promise<number | null>((resolve) => child.once('exit', resolve));
  return { child, code, output: () => output };
}

describe('the program selvedge-agent', () => {
  test('what a person has to mend ends it with code 2, and the token is in no output', async () => {
    await using dir = await makeStateDir();
    const state = join(dir.path, 'state');
    const garbage = start('run', '--state', state, '--token', 'selvedge1.hush-hush', ...noPodman);
    assert.equal(await garbage.code, 2);
    assert.match(garbage.output(), /the token is damaged/);
    assert.doesNotMatch(garbage.output(), /hush/);
    assert.equal(await start('run', '--state', state, ...noPodman).code, 2);
    assert.equal(await start('run', '--state', state, '--token-file', '/nonexistent', ...noPodman).code, 2);

    await using hub = await TestHub.start();
    hub.enrolAnswer = () => statusBody('Forbidden', 'the token has expired; make a new one');
    const tokenFile = join(dir.path, 'token');
    await writeFile(tokenFile, hub.token());
    await chmod(tokenFile, 0o600);
    const expired = start('run', '--state', state, '--token-file', tokenFile, ...noPodman);
    assert.equal(await expired.code, 2);
    assert.match(expired.output(), /the token has expired; make a new one/);
  });

  test('flags that do not fit together are refused by name, before anything is done', () => {
    const refused = (...args: string[]): string => {
      const { status, stdout, stderr } = spawnSync(process.execPath, [main, 'run', ...args]);
      assert.equal(status, 1, args.join(' '));
      return `${stdout.toString()}${stderr.toString()}`;
    };
    assert.match(refused('--state', '/x', '--kubeconfig', 'k', '--in-cluster'), /--in-cluster.*--kubeconfig/);
    assert.match(refused('--state', '/x', '--kubeconfig', 'k', ...noPodman), /--kubeconfig.*--podman-socket/);
    assert.match(
      refused('--state', '/x', '--in-cluster', '--pod-cidr', '10.1.0.0/16'),
      /--in-cluster.*--pod-cidr/,
    );
    assert.match(refused('--state', '/x', '--context', 'c'), /--context needs --kubeconfig/);
    assert.match(
      refused('--state', '/x', '--namespace', 'n'),
      /--namespace needs --kubeconfig FILE or --in-cluster/,
    );
    assert.match(refused('--state', '/x', '--state-secret'), /--state-secret needs --in-cluster/);
    assert.match(refused('--in-cluster'), /--state DIR is missing/);
    assert.match(refused('--in-cluster', '--namespace', 'A b'), /name of a namespace/);
    assert.match(refused('--state', '/x', '--kubeconfig', '/nonexistent/config'), /no such file/);
  });

  test('it runs until SIGTERM, and tells its status meanwhile and afterwards', async () => {
    await using dir = await makeStateDir();
    await using hub = await TestHub.start();
    hub.assign('till', [{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'x' } }]);
    const agent = start('run', '--state', dir.path, '--token', hub.token(), ...noPodman);
    await eventually('it has accepted the state', () => hub.requests.at(-1)?.epoch === 1);
    const status = () => spawnSync(process.execPath, [main, 'status', '--state', dir.path, '-o', 'json']);
    const running = JSON.parse(status().stdout.toString()) as AgentStatus;
    assert.equal(running.site, 'shop-1');
    assert.equal(running.epoch, 1);
    assert.equal(running.items[0]?.id, 'Application/default/till');
    agent.child.kill('SIGTERM');
    assert.equal(await agent.code, 0, agent.output());
    await hub.close();
    assert.deepEqual(
      (JSON.parse(status().stdout.toString()) as AgentStatus).items[0]?.id,
      'Application/default/till',
    );
  });

  test('wrong flags and a folder that is no state directory are said', async () => {
    await using dir = await makeStateDir();
    assert.equal(await start('run').code, 1);
    const status = start('status', '--state', dir.path);
    assert.equal(await status.code, 1);
    assert.match(status.output(), /is not the state directory of an agent/);
  });

  test('the version is that of the package', async () => {
    const manifest = JSON.parse(await readFile(join(import.meta.dirname, '../package.json'), 'utf8')) as {
      version: string;
    };
    const program = start('--version');
    assert.equal(await program.code, 0);
    assert.equal(program.output().trim(), manifest.version);
  });
});

describe('the status for a person', () => {
  test('names the trouble with the hub, the clock, and why an application does not run', async () => {
    await using dir = await makeStateDir();
    const hub = await TestHub.start();
    const agent = startTestAgent({ stateDir: dir.path, token: hub.token() });
    const item = hub.assign('till', [{ kind: 'ConfigMap', metadata: { name: 'x' } }]);
    await eventually('it runs', () => hub.reports.size === 1);
    const { id, uid, epoch, release, digest } = item;
    agent.driver.report({
      id,
      uid,
      epoch,
      release,
      digest,
      state: 'Failed',
      reason: 'Crash',
      message: 'exit 3',
    });
    await eventually('it is reported', () => hub.reports.get(`${id} ${uid}`)?.state === 'Failed');
    await hub.close();
    await eventually('the loss is noticed', () =>
      agent.log.some((line) => line.message.startsWith('the hub cannot')),
    );
    await agent.stop();
    const status = await readStatus(dir.path, systemClock.now());
    const text = formatStatus(
      { ...status, clockOffsetMs: -86_400_000 * 3, keyRefusal: 'revoked' },
      new Date('2026-01-01T00:00:00Z'),
    );
    assert.match(text, /Site: +shop-1/);
    assert.match(text, /this machine is 3d ahead of the hub/);
    assert.match(text, /REFUSED by the hub: revoked/);
    assert.match(text, /Trouble: .*127\.0\.0\.1/);
    assert.match(text, /Application\/default\/till +till-\w+ +till-\w+ +Failed +\w+ +Crash: exit 3/);
  });
});
