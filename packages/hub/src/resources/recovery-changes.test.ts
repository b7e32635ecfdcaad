import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { recoveryChanges } from './recovery-changes.ts';

const machines = (count: number) =>
  Array.from({ length: count }, (_, i) => ({
    name: `m${i}`,
    followed: 'image debian (generation 2)',
    wanted: 'no image (generation 1)',
  }));
const applications = [{ name: 'shop/till', release: 'till-1', digest: 'sha256:1' }];

describe('what adopt or override means', () => {
  test('names machines first, and leaves room for applications', () => {
    const changes = recoveryChanges('Adopt', { applications, machines: machines(180) }, []);
    assert.match(changes[0] ?? '', /^machine m0: .* left as it is \(spec\.protected\)/);
    assert.equal(changes.at(-2), 'and 130 more machines');
    assert.match(changes.at(-1) ?? '', /^shop\/till: stays till-1/);
  });

  test('says by override what racks are told', () => {
    const [line] = recoveryChanges('Override', { applications: [], machines: machines(1) }, []);
    assert.match(line ?? '', /was told image debian \(generation 2\); it is told no image/);
  });
});
