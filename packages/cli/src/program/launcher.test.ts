import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';

const launcher = join(import.meta.dirname, '../../bin/selvedge.js');
const pinnedNode = join(import.meta.dirname, '../../../api/bin/pinned-node.js');

/** A Node of the machine that is older than ours, as on a fresh Debian or Ubuntu. */
const olderNode = ['/usr/bin/node', '/usr/local/bin/node'].find((path) => {
  if (!existsSync(path)) return false;
  const version = spawnSync(path, ['-p', 'process.versions.node'], { encoding: 'utf8' }).stdout;
  const major = Number(version.split('.')[0]);
  return major >= 20 && major < 24;
});
const needsOlderNode = { skip: olderNode === undefined ? 'no Node 20 to 23 on this machine' : false };

describe('launcher', () => {
  let folder = '';
  /** A program that tells its Node, answers SIGTERM with exit code 7, and runs until then. */
  let program = '';
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'selvedge-launcher-'));
    const main = join(folder, 'main.ts');
    await writeFile(
      main,
      `const version: string = process.versions.node;
       if (process.argv[2] === 'exit') process.exit(Number(process.argv[3]));
       if (process.argv[2] === 'graceful') process.on('SIGTERM', () => process.exit(7));
       console.log('ready', version.split('.')[0], process.argv.slice(2).join(' '));
       setInterval(() => undefined, 1000);`,
    );
    await writeFile(join(folder, 'package.json'), '{"type":"module"}');
    program = join(folder, 'start.js');
    await writeFile(
      program,
      `import { runOnPinnedNode } from ${JSON.stringify(pathToFileURL(pinnedNode).href)};
       await runOnPinnedNode('test', new URL('./main.ts', import.meta.url));`,
    );
  });
  after(() => rm(folder, { recursive: true }));

  test('runs in the Node that started it when that can', () => {
    const { status, stdout } = spawnSync(process.execPath, [launcher, 'version'], { encoding: 'utf8' });
    assert.equal(status, 0);
    assert.match(stdout, /^selvedge .* \(Node 24/);
  });

  test('an older Node starts the pinned one: same arguments, output and exit code', needsOlderNode, () => {
    const run = (...args: string[]) => spawnSync(olderNode ?? '', [...args], { encoding: 'utf8' });
    assert.match(run(launcher, 'version').stdout, /^selvedge .* \(Node 24/);
    const wrong = run(launcher, 'nonsense');
    assert.equal(wrong.status, 2);
    assert.match(wrong.stderr, /unknown command 'nonsense'/);
    assert.equal(run(program, 'exit', '42').status, 42);
  });

  test('runs a hub that says when it is ready and ends in order with exit 0', async () => {
    const data = join(folder, 'hub');
    const args = [launcher, 'hub', '--data', data, '--listen', '127.0.0.1:0'];
    const child = spawn(olderNode ?? process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    const lines = createInterface({ input: child.stderr });
    const exited = once(child, 'exit') as Promise<[number | null, string | null]>;
    for await (const line of lines) {
      const { msg, url } = JSON.parse(line) as { msg: string; url?: string };
      if (msg !== 'hub ready') continue;
      assert.match(url ?? '', /^https:\/\/127\.0\.0\.1:\d+$/);
      assert.ok(existsSync(join(data, 'admin.kubeconfig')));
      const { stdout } = spawnSync(
        process.execPath,
        [launcher, 'status', '--kubeconfig', join(data, 'admin.kubeconfig')],
        { encoding: 'utf8' },
      );
      assert.match(stdout, /No applications/);
      child.kill('SIGTERM');
    }
    assert.deepEqual(await exited, [0, null]);
  });

  test('signals are passed on, and their end is the launcher’s end', needsOlderNode, async () => {
    const end = async (...args: string[]) => {
      const child = spawn(olderNode ?? '', [program, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
      const [line] = (await once(child.stdout, 'data')) as [Buffer];
      assert.equal(line.toString().trim(), `ready 24 ${args.join(' ')}`);
      const exited = once(child, 'exit') as Promise<[number | null, string | null]>;
      child.kill('SIGTERM');
      return exited;
    };
    assert.deepEqual(await end('graceful', 'a b'), [7, null]);
    assert.deepEqual(await end('rude'), [null, 'SIGTERM']);
  });
});
