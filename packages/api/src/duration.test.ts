import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { formatDuration, parseDuration } from './duration.ts';

describe('durations', () => {
  test('reads every documented form', () => {
    const cases: [string, number][] = [
      ['90s', 90],
      ['15m', 900],
      ['1h30m', 5400],
      ['168h', 604_800],
      ['7d', 604_800],
      ['0s', 0],
      ['1d2h3m4s', 93_784],
    ];
    for (const [text, seconds] of cases) assert.equal(parseDuration(text), seconds, text);
  });

  test('refuses everything else', () => {
    for (const text of [
      '',
      '90',
      's',
      '1m1h',
      '-5s',
      '1.5h',
      '5 m',
      '10ms',
      '5M',
      '1h1h',
      '9999999999s',
      '36501d',
    ]) {
      assert.equal(parseDuration(text), undefined, text);
    }
  });

  test('prints the two biggest units', () => {
    const cases: [number, string][] = [
      [0, '0s'],
      [45.9, '45s'],
      [200, '3m20s'],
      [7500, '2h5m'],
      [86_405, '1d'],
      [777_600, '9d'],
    ];
    for (const [seconds, text] of cases) assert.equal(formatDuration(seconds), text);
  });
});
