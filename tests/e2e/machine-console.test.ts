import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { after, before, describe, test } from 'node:test';
import { type Machine, machines, type Site, sites } from '@selvedge/api';
import { createLogger, systemClock } from '@selvedge/api/node';
import { runCli } from '@selvedge/cli';
import { type Hub, startHub } from '@selvedge/hub';
import { freePort } from '@selvedge/testkit';
import { ChildProgram } from '../../quickstart/lab/child-program.ts';
import { sourcePrograms } from '../../quickstart/lab/lab.ts';
import { poll } from '../../quickstart/lab/poll.ts';

/** The command line with streams that a test holds in its hands. */
function startCli(args: readonly string[], kubeconfig: string) {
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
  const texts = { stdout: '', stderr: '' };
  stdout.on('data', (chunk: Buffer) => (texts.stdout += chunk.toString('utf8')));
  stderr.on('data', (chunk: Buffer) => (texts.stderr += chunk.toString('utf8')));
  const { signal } = new AbortController();
  const env = { SELVEDGE_KUBECONFIG: kubeconfig };
  const ended = runCli({ args, env, stdin, stdout, stderr, clock: systemClock, signal });
  return { stdin, texts, ended };
}

describe('selvedge machine console, through hub, link and rack', () => {
  let folder: string;
  let hub: Hub;
  let agent: ChildProgram;
  const serial = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.write('rack-7 login: ');
    socket.pipe(socket);
  });

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'svg-console-'));
    serial.listen(0, '127.0.0.1');
    await once(serial, 'listening');
    const { port } = serial.address() as AddressInfo;
    hub = await startHub({
      data: join(folder, 'hub'),
      listen: '127.0.0.1:0',
      logger: createLogger({ level: 'silent' }),
    });
    await hub.client.create<Site>(sites, {
      apiVersion: 'selvedge.dev/v1alpha1',
      kind: 'Site',
      metadata: { name: 'berlin' },
      spec: { link: 'Full', rack: { networks: [] } },
    });
    await hub.client.create<Machine>(machines, {
      apiVersion: 'selvedge.dev/v1alpha1',
      kind: 'Machine',
      metadata: { name: 'rack-7' },
      spec: {
        siteName: 'berlin',
        identity: { macAddresses: ['52:54:00:00:00:07'] },
        bmc: { type: 'Manual', console: `tcp://127.0.0.1:${port}` },
      },
    });
    const token = startCli(['site', 'token', 'berlin'], hub.kubeconfigPath);
    assert.equal(await token.ended, 0, token.texts.stderr);
    const tokenFile = join(folder, 'token');
    await writeFile(tokenFile, token.texts.stdout, { mode: 0o600 });
    const listen = `127.0.0.1:${await freePort()}`;
    const flags = [
      '--state',
      join(folder, 'agent'),
      '--token-file',
      tokenFile,
      '--runtime',
      'none',
      '--rack',
      '--rack-allow-local-bmc',
      '--rack-listen',
      listen,
    ];
    agent = await ChildProgram.start({
      name: 'agent',
      command: [...sourcePrograms.agent, 'run', ...flags],
      logFile: join(folder, 'agent.log'),
    });
    await poll(
      async () => {
        const { status } = await hub.client.get<Machine>(machines, { name: 'rack-7' });
        return status?.phase === undefined ? undefined : true;
      },
      {
        seconds: 60,
        what: 'the rack speaks of the machine',
        why: () => readFile(join(folder, 'agent.log'), 'utf8'),
      },
    );
  });
  after(async () => {
    await agent?.stop();
    await hub?.close();
    serial.close();
    await rm(folder, { recursive: true, force: true });
  });

  test('keys go to the serial port, and Ctrl-] ends the session without being sent', async () => {
    const { stdin, texts, ended } = startCli(['machine', 'console', 'rack-7'], hub.kubeconfigPath);
    const shows = (text: string) =>
      poll(() => Promise.resolve(texts.stdout.includes(text) || undefined), {
        seconds: 60,
        what: `the console shows ${text}`,
        why: () => Promise.resolve(`${texts.stdout}\n${texts.stderr}`),
      });
    await shows('rack-7 login: ');
    stdin.write('root\r');
    await shows('root\r');
    stdin.write('bye\u001dnot sent');
    assert.equal(await ended, 0, texts.stderr);
    assert.ok(!texts.stdout.includes('not sent'));
    assert.match(texts.stderr, /Ctrl-\] ends it/);
  });

  test('its log is there for those who may only read', async () => {
    const { metadata } = await hub.client.get<Site>(sites, { name: 'berlin' });
    await hub.client.mergePatch(sites, { name: metadata.name }, { spec: { link: 'Read' } });
    await poll(
      async () => {
        const refused = startCli(['machine', 'console', 'rack-7'], hub.kubeconfigPath);
        // Where it is not refused yet it would go on for ever.
        refused.stdin.write('\u001d');
        return (await refused.ended) === 0 ? undefined : /needs Full/.test(refused.texts.stderr) || undefined;
      },
      { seconds: 30, what: 'the console needs more than Read' },
    );
    const log = startCli(['machine', 'console', 'rack-7', '--log'], hub.kubeconfigPath);
    assert.equal(await log.ended, 0, log.texts.stderr);
  });

  test('a machine that nobody knows has no console', async () => {
    const { ended, texts } = startCli(['machine', 'console', 'rack-8'], hub.kubeconfigPath);
    assert.equal(await ended, 1);
    assert.match(texts.stderr, /Did you mean rack-7/);
  });
});
