import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createLogger } from '@selvedge/api/node';
import { AuditLog, type AuditLogOptions } from './audit-log.ts';

describe('the audit log', () => {
  let directory: string;
  let nextFile = 0;
  let second = 0;
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'selvedge-audit-'));
  });
  after(() => rm(directory, { recursive: true }));

  function open(options: Partial<AuditLogOptions> = {}) {
    const path = join(directory, `log-${++nextFile}.log`);
    const log = AuditLog.open({
      path,
      maxBytes: 0,
      maxBackups: 0,
      logger: createLogger({ level: 'silent' }),
      now: () => new Date(Date.UTC(2026, 0, 1, 0, 0, (second += 1))),
      ...options,
    });
    return { path, log };
  }

  test('appends lines in order, in a file that only its owner can read', async () => {
    const { path, log } = open();
    const sink = await log;
    for (let i = 0; i < 1000; i += 1) sink.write(`{"n":${i}}`);
    await sink.close();
    const lines = (await readFile(path, 'utf8')).trimEnd().split('\n');
    assert.deepEqual(
      lines.map((line) => (JSON.parse(line) as { n: number }).n),
      Array.from({ length: 1000 }, (_, i) => i),
    );
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    const again = await AuditLog.open({
      path,
      maxBytes: 0,
      maxBackups: 0,
      logger: createLogger({ level: 'silent' }),
      now: () => new Date(),
    });
    again.write('{"n":1000}');
    await again.close();
    assert.ok((await readFile(path, 'utf8')).endsWith('{"n":999}\n{"n":1000}\n'));
  });

  test('sets the file aside before it grows too large, and keeps the newest', async () => {
    const { path, log } = open({ maxBytes: 1000, maxBackups: 2 });
    const sink = await log;
    for (let i = 0; i < 10; i += 1) {
      sink.write(JSON.stringify({ n: i, text: 'x'.repeat(400) }));
      await sink.flushed();
    }
    await sink.close();
    const stem = path.split('/').at(-1)?.replace('.log', '') ?? '';
    const names = (await readdir(directory)).filter((name) => name.startsWith(stem)).sort();
    assert.equal(names.length, 3, names.join(' '));
    assert.match(names[0] ?? '', /^log-\d+-2026-01-01T00-00-\d\d-000Z\.log$/);
    const kept = await Promise.all(names.map((name) => readFile(join(directory, name), 'utf8')));
    const numbers = kept
      .flatMap((text) => text.trimEnd().split('\n'))
      .map((line) => (JSON.parse(line) as { n: number }).n);
    assert.deepEqual(
      numbers.toSorted((a, b) => a - b),
      [4, 5, 6, 7, 8, 9],
    );
    for (const text of kept) assert.ok(text.length <= 1000);
  });

  test('goes on in a new file when the old one was moved away', async () => {
    const { path, log } = open();
    const sink = await log;
    sink.write('before');
    await sink.flushed();
    await rename(path, `${path}.1`);
    sink.reopen();
    sink.write('after');
    await sink.close();
    assert.equal(await readFile(`${path}.1`, 'utf8'), 'before\n');
    assert.equal(await readFile(path, 'utf8'), 'after\n');
  });

  test('drops and counts what it cannot write, and goes on when it can again', async () => {
    const complaints: unknown[] = [];
    const logger = createLogger({
      destination: { write: (line: string) => complaints.push(JSON.parse(line)) },
    });
    const { path, log } = open({ logger });
    const sink = await log;
    await rm(path);
    // A folder in its place cannot be written, by root neither.
    await mkdir(path);
    sink.reopen();
    for (let i = 0; i < 5; i += 1) sink.write('lost');
    await sink.flushed();
    assert.equal(sink.dropped, 5);
    assert.equal(complaints.length, 1, 'one complaint a minute');
    await rm(path, { recursive: true });
    sink.write('kept');
    await sink.close();
    assert.equal(await readFile(path, 'utf8'), 'kept\n');
  });

  test('a disk that is too slow costs a bounded memory, and no time', async () => {
    const { path, log } = open({ maxBufferedBytes: 10_000 });
    const sink = await log;
    const line = 'x'.repeat(99);
    // Nothing can be written before this turn of the event loop ends.
    for (let i = 0; i < 1000; i += 1) sink.write(line);
    assert.equal(sink.dropped, 900);
    await sink.close();
    assert.equal((await stat(path)).size, 100 * 100);
  });

  test('a place that cannot be written is an error at once', async () => {
    await assert.rejects(open({ path: join(directory, 'no', 'such', 'folder') }).log, { code: 'ENOENT' });
  });
});
