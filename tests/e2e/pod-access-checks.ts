import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import type { Kubectl } from './kubectl-program.ts';

/** One kubectl and a pod that does what `echoCommand` does, which it reaches. */
export interface PodAccess {
  readonly kubectl: Kubectl;
  readonly namespace: string;
  readonly pod: string;
  /** For files. */
  readonly folder: string;
  /** Port that it listens on. Default: 9000. */
  readonly port?: number;
  /** Port that nobody listens on. Default: 9999. */
  readonly closedPort?: number;
  /** A path in the container that can be written. Default: /tmp/file. */
  readonly file?: string;
}

/** Says two lines at once and then one each second, and answers on port 9000 with what it is sent. */
export const echoCommand = [
  'sh',
  '-c',
  'nc -ll -p 9000 -e cat & echo "line 1"; echo "line 2"; i=2; while sleep 1; do i=$((i+1)); echo "line $i"; done',
];

/** What people do with pods: each check is one test. */
export function podAccessChecks(find: () => PodAccess): void {
  const inPod = () => {
    const access = find();
    const exec = (...command: string[]) => ['exec', '-n', access.namespace, access.pod, '--', ...command];
    return { port: 9000, closedPort: 9999, file: '/tmp/file', ...access, exec };
  };

  test('get pods shows it as a table', async () => {
    const { kubectl, namespace, pod } = inPod();
    const [head, ...rows] = (await kubectl.run(['get', 'pods', '-n', namespace])).split('\n');
    assert.match(head ?? '', /^NAME +READY +STATUS +RESTARTS +AGE$/);
    const row = rows.find((line) => line.startsWith(pod));
    assert.match(row ?? '', /1\/1 +Running +0 /);
    const wide = await kubectl.run(['get', 'pods', '-n', namespace, '-o', 'wide']);
    assert.match(wide, /^NAME.* IP +NODE/);
  });

  test('logs, and logs -f that goes on', async () => {
    const { kubectl, namespace, pod } = inPod();
    assert.match(await kubectl.run(['logs', '-n', namespace, pod]), /^line 1\nline 2/);
    assert.equal((await kubectl.run(['logs', '-n', namespace, pod, '--tail=1'])).split('\n').length, 1);
    const stamped = await kubectl.run(['logs', '-n', namespace, pod, '--tail=1', '--timestamps']);
    assert.match(stamped, /^\d{4}-\d\d-\d\dT\S+ line \d+$/);
    const follower = kubectl.follow(['logs', '-n', namespace, pod, '-f', '--tail=1']);
    try {
      await until('three lines came', () => follower.lines().length >= 3);
    } finally {
      await follower.stop();
    }
  });

  test('exec gives output, error output and the exit code', async () => {
    const { kubectl, exec } = inPod();
    const result = await kubectl.try(exec('sh', '-c', 'echo out; echo err >&2; exit 7'));
    assert.equal(result.code, 7);
    assert.equal(result.stdout, 'out\n');
    assert.match(result.stderr, /^err$/m);
  });

  test('exec passes on standard input to its end, whatever its size', async () => {
    const { kubectl, namespace, pod } = inPod();
    const input = randomBytes(1_000_000).toString('base64');
    const output = await kubectl.try(['exec', '-i', '-n', namespace, pod, '--', 'cat'], { input });
    assert.equal(output.code, 0, output.stderr);
    assert.equal(output.stdout.length, input.length);
    assert.ok(output.stdout === input);
  });

  test('exec of what is not there fails', async () => {
    const { kubectl, exec } = inPod();
    const { code, stderr } = await kubectl.try(exec('no-such-program'));
    assert.notEqual(code, 0);
    assert.match(stderr, /no-such-program|127/);
  });

  test('attach shows what the container says from now on', async () => {
    const { kubectl, namespace, pod } = inPod();
    const attached = kubectl.follow(['attach', '-n', namespace, pod]);
    try {
      await until(
        'two lines came',
        () => attached.lines().filter((line) => /^line \d+$/.test(line)).length >= 2,
      );
    } finally {
      await attached.stop();
    }
  });

  test('cp carries a file there and back', async () => {
    const { kubectl, namespace, pod, folder, file } = inPod();
    const [there, back] = [join(folder, 'there'), join(folder, 'back')];
    const content = randomBytes(300_000);
    await writeFile(there, content);
    await kubectl.run(['cp', '-n', namespace, there, `${pod}:${file}`]);
    await kubectl.run(['cp', '-n', namespace, `${pod}:${file}`, back]);
    assert.ok(content.equals(await readFile(back)));
  });

  test('port-forward carries many connections both ways', async () => {
    const { kubectl, namespace, pod, port } = inPod();
    const forward = await startForward(kubectl, ['-n', namespace, `pod/${pod}`, `:${port}`]);
    try {
      const large = echo(forward.port, randomBytes(2_000_000));
      const opened = [];
      // One after the other, all open to the end: busybox's nc has next to no backlog, and Linux resets what it cannot queue.
      for (let index = 0; index < 20; index++) {
        opened.push(await echo(forward.port, Buffer.from(`hello ${index}\n`)));
      }
      opened.push(await large);
      for (const socket of opened) socket.destroy();
    } finally {
      await forward.stop();
    }
  });

  test('port-forward to a port where nobody listens says so', async () => {
    const { kubectl, namespace, pod, closedPort } = inPod();
    const forward = await startForward(kubectl, ['-n', namespace, `pod/${pod}`, `:${closedPort}`]);
    try {
      const socket = connect(forward.port, '127.0.0.1');
      socket.on('error', () => undefined);
      await until(
        'the connection was closed',
        () => socket.closed || socket.readableEnded || socket.destroyed,
      );
      socket.destroy();
      await until('kubectl complained', () => forward.complaints().includes(String(closedPort)));
    } finally {
      await forward.stop();
    }
  });
}

/** Sends the bytes and reads until as many came back. Resolves to the connection, still open. */
async function echo(port: number, bytes: Buffer): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  socket.write(bytes);
  const parts: Buffer[] = [];
  let length = 0;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  socket.on('data', (part: Buffer) => {
    parts.push(part);
    length += part.length;
    if (length >= bytes.length) resolve();
  });
  socket.on('error', reject);
  socket.on('close', () => reject(new Error(`closed after ${length} of ${bytes.length} bytes`)));
  await promise;
  assert.ok(Buffer.concat(parts).equals(bytes));
  return socket;
}

interface Forward {
  readonly port: number;
  readonly complaints: () => string;
  stop(): Promise<void>;
}

async function startForward(kubectl: Kubectl, args: readonly string[]): Promise<Forward> {
  const child = spawn(kubectl.path, ['port-forward', '--address', '127.0.0.1', ...args], {
    env: kubectl.env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  let complaints = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaints += text;
  });
  const closed = new Promise((resolve) => child.once('close', resolve));
  const stop = async () => {
    child.kill('SIGTERM');
    await closed;
  };
  const portOf = () => Number(/127\.0\.0\.1:(\d+) ->/.exec(output)?.[1]);
  try {
    await until('kubectl forwards a port', () => portOf() > 0);
  } catch (error) {
    await stop();
    throw new Error(`kubectl port-forward: ${complaints}`, { cause: error });
  }
  return { port: portOf(), complaints: () => complaints, stop };
}

async function until(what: string, condition: () => boolean): Promise<void> {
  for (let attempt = 0; attempt < 300; attempt++) {
    if (condition()) return;
    await wait(100);
  }
  throw new Error(`waited in vain until ${what}`);
}
