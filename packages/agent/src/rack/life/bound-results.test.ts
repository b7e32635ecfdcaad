import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ScriptResult } from '@selvedge/api';
import { boundResults } from './bound-results.ts';

function resultOf(name: string, values: number, text: string): ScriptResult {
  const time = '2026-01-01T00:00:00.000Z';
  const entries = Array.from({ length: values }, (_, i) => [`key-${i}`, text]);
  return { name, status: 'Passed', time, output: 'done', values: Object.fromEntries(entries) };
}

describe('what is told of scripts', () => {
  it('is all of it where that is not long, but no more values than the hub keeps', () => {
    const short = resultOf('short', 50, 'text');
    assert.deepEqual(boundResults([short]), [short]);
    assert.equal(Object.keys(boundResults([resultOf('many', 200, 'text')])[0]?.values ?? {}).length, 50);
  });

  it('fits a request to the hub, whatever a box prints', () => {
    const long = Array.from({ length: 100 }, (_, i) => resultOf(`long-${i}`, 200, '\u20ac'.repeat(1000)));
    const told = boundResults(long);
    assert.ok(Buffer.byteLength(JSON.stringify(told)) < 160 * 1024);
    assert.deepEqual(
      told.map(({ name, status }) => [name, status]),
      long.map(({ name, status }) => [name, status]),
    );
    assert.match(told[0]?.output ?? '', /too long/);
  });

  it('is the newest, where all are too long together', () => {
    const told = boundResults(Array.from({ length: 10 }, (_, i) => resultOf(`r${i}`, 30, 'x'.repeat(900))));
    assert.deepEqual(
      told.map(({ values }) => values !== undefined),
      [false, false, false, false, false, false, true, true, true, true],
    );
  });
});
