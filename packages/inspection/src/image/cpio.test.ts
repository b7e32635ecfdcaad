import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readlinkSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { findStaticBusybox, requireTool } from '@selvedge/testkit';
import { formatCpio } from './cpio.ts';
import { FileTree } from './file-tree.ts';

function sampleTree(): FileTree {
  const tree = new FileTree();
  tree.addFile('bin/tool', '#!/bin/sh\n', 0o755);
  tree.addLink('init', 'bin/tool');
  tree.addFile('etc/odd', Buffer.from([0, 1, 2, 255, 4]));
  tree.addDirectory('proc');
  return tree;
}

test('busybox unpacks the archive to the same files, modes and links', requireTool('busybox'), (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'selvedge-cpio-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const busybox = findStaticBusybox() ?? assert.fail('no busybox');
  execFileSync(busybox, ['cpio', '-id'], { cwd: folder, input: formatCpio(sampleTree()), stdio: 'pipe' });
  assert.equal(readFileSync(join(folder, 'init'), 'utf8'), '#!/bin/sh\n');
  assert.equal(readlinkSync(join(folder, 'init')), 'bin/tool');
  assert.equal(statSync(join(folder, 'bin/tool')).mode & 0o777, 0o755);
  assert.deepEqual([...readFileSync(join(folder, 'etc/odd'))], [0, 1, 2, 255, 4]);
  assert.ok(statSync(join(folder, 'proc')).isDirectory());
});

test('the same tree gives the same bytes, whatever was added first', () => {
  const other = new FileTree();
  other.addDirectory('proc');
  other.addFile('etc/odd', Buffer.from([0, 1, 2, 255, 4]));
  other.addLink('init', 'bin/tool');
  other.addFile('bin/tool', '#!/bin/sh\n', 0o755);
  assert.ok(formatCpio(other).equals(formatCpio(sampleTree())));
});

test('a path that leads out of the tree is refused', () => {
  const tree = new FileTree();
  for (const path of ['/etc/passwd', '../x', 'a/../../x', 'a//b']) {
    assert.throws(() => tree.addFile(path, ''), /no path within the tree/);
  }
});
