import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { FakeClock } from '@selvedge/testkit';
import { HubClock } from './hub-clock.ts';

function setUp(options: { savedOffsetMs?: number } = {}) {
  const machine = new FakeClock('2030-01-01T00:00:00Z');
  let monotonicMs = 0;
  const clock = new HubClock({ clock: machine, monotonicMs: () => monotonicMs, ...options });
  return { machine, clock, passMonotonic: (ms: number) => (monotonicMs += ms) };
}

describe("the hub's clock as the agent knows it", () => {
  test('before the first answer it is the machine with the saved offset, and proves nothing', () => {
    const { clock } = setUp({ savedOffsetMs: 60_000 });
    assert.equal(clock.now().toISOString(), '2030-01-01T00:01:00.000Z');
    assert.equal(clock.provenNow(), undefined);
  });

  test('after an answer it goes on by itself, though the machine is set to another year', () => {
    const { machine, clock, passMonotonic } = setUp();
    clock.observe('2026-06-01T12:00:00.000Z');
    passMonotonic(5000);
    machine.setTime('1970-01-01T00:00:00Z');
    assert.equal(clock.now().toISOString(), '2026-06-01T12:00:05.000Z');
  });

  test('times of the machine are put right by an offset that does not tremble', () => {
    const { clock } = setUp();
    clock.observe('2029-01-01T00:00:00.000Z');
    clock.observe('2029-01-01T00:00:00.400Z');
    assert.equal(clock.correct('2030-01-01T00:00:00Z'), '2029-01-01T00:00:00.000Z');
    assert.equal(clock.correct('no time'), 'no time');
  });

  test('listeners learn of a correction once, and not of the milliseconds that a network takes', () => {
    const { clock } = setUp();
    const changes: number[] = [];
    clock.onCorrection((changeMs) => changes.push(changeMs));
    clock.observe('2029-12-31T23:59:00.000Z');
    clock.observe('2029-12-31T23:59:00.300Z');
    clock.observe('garbage');
    clock.observe(undefined);
    assert.deepEqual(changes, [-60_000]);
  });
});
