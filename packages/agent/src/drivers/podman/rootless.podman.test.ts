import assert from 'node:assert/strict';
import { execFile, execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { requireTool } from '@selvedge/testkit';

const tunnelDevice = '/dev/net/tun';
const execFileAsync = promisify(execFile);

/**
 * The other suites run as whoever runs the tests. When that is root, some of them run here once more as an ordinary user, who is
 * made for it: rootless Podman has another network, other file owners, and no limits on cgroup v1.
 */
const suites = ['rollout', 'configuration', 'life-cycle'];
const chosen = [
  'every request to the Service is answered',
  'killed at any moment',
  'reach the program, but no disk',
  'volumes, users and limits',
  'ConfigMaps and fields',
  'startup and TCP probes',
  'liveness probe that fails',
  'a port that somebody has',
  'after a power cut',
  'removal takes everything',
  'by all its names',
];

const needs = requireTool('podman', 'root', 'newuidmap', 'slirp4netns', 'nft', 'nsenter', 'useradd');

test('the same as an ordinary user with rootless Podman', needs, async () => {
  // Every usual system opens it to all; sandboxes do not always.
  const mode = statSync(tunnelDevice).mode;
  chmodSync(tunnelDevice, 0o666);
  const name = `svgtest${process.pid}`;
  execFileSync('useradd', ['--create-home', '--shell', '/bin/sh', name]);
  try {
    const [uid, gid] = ['-u', '-g'].map((flag) =>
      Number(execFileSync('id', [flag, name], { encoding: 'utf8' })),
    );
    const files = suites.map((suite) => join(import.meta.dirname, `${suite}.podman.test.ts`));
    const args = [
      '--test',
      '--test-concurrency=1',
      ...chosen.map((text) => `--test-name-pattern=${text}`),
      ...files,
    ];
    const { NODE_TEST_CONTEXT: _context, ...env } = process.env;
    const run = await execFileAsync(process.execPath, args, {
      ...(uid === undefined || gid === undefined ? {} : { uid, gid }),
      cwd: `/home/${name}`,
      env: { ...env, HOME: `/home/${name}`, USER: name },
      maxBuffer: 64 << 20,
      timeout: 600_000,
    }).catch((error: unknown) => error as { stdout: string; stderr: string });
    assert.match(run.stdout, /fail 0/, run.stdout.slice(-8000) + run.stderr.slice(-2000));
    const passed = Number(/pass (\d+)/.exec(run.stdout)?.[1] ?? 0);
    assert.ok(passed >= chosen.length, `${passed} tests ran\n${run.stdout.slice(-8000)}`);
  } finally {
    spawnSync('userdel', ['--force', '--remove', name]);
    chmodSync(tunnelDevice, mode);
  }
});
