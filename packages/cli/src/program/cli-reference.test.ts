import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { runCaptured } from '../testing/run-captured.ts';

const commands = [
  ['hub'],
  ['hub', 'backup'],
  ['hub', 'restore'],
  ['hub', 'verify'],
  ['hub', 'rotate-key'],
  ['hub', 'cert', 'show'],
  ['hub', 'cert', 'renew'],
  ['hub', 'cert', 'issue'],
  ['status'],
  ['why'],
  ['app', 'show'],
  ['app', 'refresh'],
  ['plan'],
  ['render'],
  ['rollout', 'list'],
  ['rollout', 'status'],
  ['rollout', 'watch'],
  ['rollout', 'pause'],
  ['rollout', 'resume'],
  ['rollout', 'abort'],
  ['rollout', 'promote'],
  ['rollout', 'revert'],
  ['rollout', 'lift'],
  ['rollout', 'history'],
  ['site', 'list'],
  ['site', 'show'],
  ['site', 'manifest'],
  ['site', 'token'],
  ['site', 'revoke'],
  ['site', 'hold'],
  ['site', 'release'],
  ['site', 'adopt'],
  ['site', 'override'],
  ['site', 'export'],
  ['site', 'import'],
  ['removal', 'list'],
  ['removal', 'show'],
  ['removal', 'approve'],
  ['machine', 'list'],
  ['machine', 'show'],
  ['machine', 'timeline'],
  ['machine', 'accept'],
  ['machine', 'inspect'],
  ['machine', 'allocate'],
  ['machine', 'provision'],
  ['machine', 'release'],
  ['machine', 'power'],
  ['machine', 'reboot'],
  ['machine', 'retry'],
  ['machine', 'rescue'],
  ['machine', 'mark-broken'],
  ['machine', 'mark-fixed'],
  ['machine', 'protect'],
  ['machine', 'console'],
  ['machine', 'import'],
  ['machine-image', 'list'],
  ['machine-image', 'push'],
  ['machine-image', 'build-inspection'],
  ['site', 'dhcp-snippets'],
  ['kubeconfig'],
  ['logs'],
  ['exec'],
  ['dev', 'machines'],
  ['dev', 'image'],
  ['version'],
];

describe('docs/reference/cli.md', () => {
  test('names every command and every option that --help shows, and no other', async () => {
    const page = await readFile(join(import.meta.dirname, '../../../../docs/reference/cli.md'), 'utf8');
    const helps = await Promise.all([[], ...commands].map((args) => runCaptured([...args, '--help'])));
    const shown = new Set(
      helps
        .flatMap(({ stdout }) => stdout.match(/^ {2}(?:-\w, )?(--[\w-]+)/gm) ?? [])
        .map((line) => line.replace(/^.*(?=--)/, '')),
    );
    const documented = new Set(page.match(/--[a-z][\w-]*/g));
    assert.deepEqual(
      [...shown].filter((option) => !documented.has(option)),
      [],
    );
    assert.deepEqual(
      [...documented].filter((option) => !shown.has(option)),
      [],
    );
    for (const command of commands) assert.ok(page.includes(command.join(' ')), command.join(' '));
  });
});
