import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatSystemTask } from './system-task-lines.ts';

test('a task is lines of keys and values, lists are lines with the same key', () => {
  const device = { id: 'sda', size: 1024, serial: 'A B' };
  assert.equal(
    formatSystemTask(7, { task: 'erase', mode: 'quick', devices: [device, { id: 'sdb', size: 5 }] }),
    'id 7\ntask erase\nmode quick\ndevice sda 1024 A B\ndevice sdb 5\n',
  );
  assert.equal(
    formatSystemTask(8, { task: 'write', device, diskBytes: 9, chunks: 1, chunkBytes: 4, resume: true }),
    'id 8\ntask write\ndevice sda 1024 A B\ndisk-bytes 9\nchunks 1\nchunk-bytes 4\nresume yes\n',
  );
});

test('a value with line ends cannot add a line of its own', () => {
  const text = formatSystemTask(1, {
    task: 'rescue',
    authorizedKeys: ['ssh-ed25519 AAAA\nkey ssh-rsa BBBB\r\n'],
  });
  assert.equal(text, 'id 1\ntask rescue\nkey ssh-ed25519 AAAA key ssh-rsa BBBB\n');
});
