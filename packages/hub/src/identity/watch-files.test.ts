import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createLogger, systemClock } from '@selvedge/api/node';
import { FakeClock } from '@selvedge/testkit';
import { watchFiles } from './watch-files.ts';

test('files are read when they change, and a fault is spoken of once and tried again', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'selvedge-watch-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'file');
  writeFileSync(path, 'one');
  const clock = new FakeClock();
  const stop = new AbortController();
  const read: string[] = [];
  const lines: string[] = [];
  let tries = 0;
  const watching = watchFiles({
    watched: [
      {
        paths: [path],
        reload: async () => {
          tries += 1;
          const text = await readFile(path, 'utf8');
          if (text === 'bad') throw new Error('it is bad');
          read.push(text);
        },
      },
    ],
    clock,
    logger: createLogger({ destination: { write: (line) => void lines.push(line) } }),
    random: () => 0.5,
    signal: stop.signal,
  });
  /** One more look, to its end: files are read in true time. */
  const look = async () => {
    while (clock.sleeping === 0) await systemClock.sleep(1);
    await clock.advance(5_000);
    while (clock.sleeping === 0) await systemClock.sleep(1);
  };
  await look();
  await look();
  assert.deepEqual(read, ['one']);
  writeFileSync(path, 'bad');
  await look();
  await look();
  assert.equal(tries, 3);
  assert.equal(lines.length, 1);
  assert.match(lines[0] ?? '', /it is bad/);
  writeFileSync(path, 'other');
  await look();
  assert.deepEqual(read, ['one', 'other']);
  rmSync(path);
  await look();
  assert.equal(lines.length, 2, 'one that is gone is a change too');
  stop.abort();
  await watching;
});
