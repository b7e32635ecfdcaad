import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { SourceError } from '../source-reading.ts';
import { type ProgramOutput, type ProgramRun, renderLimits, runProgram } from './run-program.ts';
import { said } from './said.ts';

let folder = '';
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'selvedge-run-test-'));
});
after(() => rm(folder, { recursive: true, force: true }));

const { signal } = new AbortController();
const shell = (script: string, options: Partial<ProgramRun> = {}): Promise<ProgramOutput> =>
  runProgram({ program: 'sh', args: ['-c', script], folder, signal, ...options });

async function faultOf(running: Promise<unknown>): Promise<string> {
  const error: unknown = await running.then(
    () => assert.fail('it ended well'),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof SourceError, String(error));
  return error.fault;
}

test('a program gets its folder, its input and an empty home, and of the environment only the path', async () => {
  process.env['SELVEDGE_TEST_SECRET'] = 'hunter22';
  const { code, stdout } = await shell('pwd; cat; ls -A "$HOME"; env');
  delete process.env['SELVEDGE_TEST_SECRET'];
  assert.equal(code, 0);
  assert.ok(stdout.startsWith(`${folder}\n`));
  assert.match(stdout, /^PATH=/m);
  assert.match(stdout, /^HOME=.*selvedge-render-/m);
  assert.ok(!stdout.includes('hunter22'));
});

test('its home is gone afterwards', async () => {
  const { stdout } = await shell('echo "$HOME"; touch "$HOME/file"');
  const gone = await shell(`ls ${stdout.trim()}`);
  assert.notEqual(gone.code, 0);
});

test('it has no network but its own', async (t) => {
  const { stdout } = await shell('cat /proc/net/dev 2>/dev/null || echo none');
  if (!stdout.includes('lo:')) return t.skip('this system has no /proc/net/dev');
  assert.deepEqual(stdout.match(/^\s*(?!lo\b)\w+:/gm) ?? [], []);
});

test('where it cannot be kept from the network, it runs only when the operator says so', async () => {
  const findIsolation = () => Promise.resolve(undefined);
  await assert.rejects(shell('echo ran', { findIsolation }), (error) => {
    assert.ok(error instanceof SourceError);
    assert.equal(error.fault, 'ProgramMissing');
    assert.match(error.message, /^sh is not run.*--allow-render-network/);
    return true;
  });
  const { stdout } = await shell('echo ran; env', { findIsolation, allowsNetwork: true });
  assert.match(stdout, /^ran$/m);
  assert.match(stdout, /^https_proxy=http:\/\/127\.0\.0\.1:9$/m);
});

test('arguments are passed on as they are', async () => {
  const args = ['-c', 'printf "%s|" "$@"', 'sh', 'a b', '$HOME', '`id`', '', '--'];
  const { stdout } = await runProgram({ program: 'sh', args, folder, signal });
  assert.equal(stdout, 'a b|$HOME|`id`||--|');
});

test('what prints, computes, or takes memory without end is ended', async () => {
  const endless = 'while :; do echo 0123456789012345678901234567890123456789; done';
  assert.equal(
    await faultOf(shell(endless, { limits: { ...renderLimits, outputBytes: 10_000 } })),
    'LimitExceeded',
  );
  const short = { limits: { ...renderLimits, seconds: 1 } };
  assert.equal(await faultOf(shell('while :; do :; done', short)), 'LimitExceeded');
  assert.equal(await faultOf(shell('sleep 60', short)), 'LimitExceeded');
  // tail keeps what has no line end.
  const small = { limits: { ...renderLimits, megabytes: 64 } };
  assert.equal(await faultOf(shell('head -c 200000000 /dev/zero | tail; exit 1', small)), 'LimitExceeded');
});

test('a program that is not there is told apart', async () => {
  const missing = runProgram({ program: 'no-such-program', args: [], folder, signal });
  assert.equal(await faultOf(missing), 'ProgramMissing');
});

test('a program ends with the signal, and what it started too', async () => {
  const stop = new AbortController();
  const running = shell('sleep 60 & sleep 60', { signal: stop.signal });
  setTimeout(() => stop.abort(new Error('stopped')), 200);
  await assert.rejects(running, /stopped/);
});

test('what a program said is told in one line, without paths of this machine', () => {
  const stderr =
    'W0101 noise\nError: accumulating resources: /data/read-1/app/x.yaml is broken\n\nUse --debug flag to render out invalid YAML\n';
  assert.equal(said(stderr, '/data/read-1'), 'accumulating resources: app/x.yaml is broken');
  assert.equal(
    said(
      `E1122 09:37:44.365334   30109 run.go:72] "command failed" err="${tmpdir()}/selvedge-render-abc/x"`,
      '/r',
    ),
    '"command failed" err="./x"',
  );
  assert.equal(said('', '/r'), 'it said nothing');
});
