import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { defaultItemTerms, type ItemTerms, type SitePolicy } from '@selvedge/api';
import { findDownloadWaiting, findWaiting } from './may-activate.ts';

/** Open from 2 to 4 at night in Berlin, closed over Christmas. */
const policy: SitePolicy = {
  timeZone: 'Europe/Berlin',
  activateWindows: [{ schedule: '0 2 * * *', durationSeconds: 7200 }],
  downloadWindows: [{ schedule: '0 22 * * *', durationSeconds: 3600 }],
  blackouts: [{ from: '2026-12-20', to: '2026-12-26', reason: 'Christmas' }],
};
const noon = new Date('2026-06-01T10:00:00Z');
const night = new Date('2026-06-02T00:30:00Z');
const hold = { reason: 'SiteHold', message: 'stocktaking' } as const;

function terms(activate: ItemTerms['activate'], activateAt?: string): ItemTerms {
  return { ...defaultItemTerms, activate, ...(activateAt === undefined ? {} : { activateAt }) };
}

describe('what a prepared release waits for', () => {
  test('a hold binds every way of activation', () => {
    for (const activate of ['Hold', 'Window', 'Now', 'At'] as const) {
      const waiting = findWaiting(terms(activate, '2020-01-01T00:00:00Z'), { policy, hold, now: night });
      assert.equal(waiting?.reason, 'SiteHold', activate);
    }
  });

  test('windows and blackouts bind Window alone, and say when they are over', () => {
    const at = (now: Date) => findWaiting(terms('Window'), { policy, hold: undefined, now });
    assert.equal(at(night), undefined);
    assert.deepEqual([at(noon)?.reason, at(noon)?.until], ['ActivateWindow', '2026-06-02T00:00:00Z']);
    const blackout = at(new Date('2026-12-24T01:30:00Z'));
    assert.equal(blackout?.reason, 'Blackout');
    assert.equal(blackout?.until, '2026-12-27T01:00:00Z');
    assert.match(blackout?.message ?? '', /Christmas/);
    assert.equal(findWaiting(terms('Now'), { policy, hold: undefined, now: noon }), undefined);
  });

  test('an instant is never early, one that is past is now, one that nobody can read never comes', () => {
    const at = (activateAt: string | undefined, now: string) =>
      findWaiting(terms('At', activateAt), { policy, hold: undefined, now: new Date(now) });
    const instant = '2026-06-01T12:00:00.000Z';
    assert.equal(at(instant, '2026-06-01T11:59:59.999Z')?.until, instant);
    assert.equal(at(instant, '2026-06-01T12:00:00.000Z'), undefined);
    assert.equal(at('2020-01-01T00:00:00Z', '2026-06-01T12:00:00.000Z'), undefined);
    assert.equal(at('soon', '2026-06-01T12:00:00.000Z')?.reason, 'Hub');
    assert.equal(at(undefined, '2026-06-01T12:00:00.000Z')?.reason, 'Hub');
  });

  test('downloads wait for their own windows, but not where it is to be now', () => {
    assert.equal(findDownloadWaiting(terms('Hold'), policy, noon)?.until, '2026-06-01T20:00:00Z');
    assert.equal(findDownloadWaiting(terms('Now'), policy, noon), undefined);
    assert.equal(findDownloadWaiting(terms('At'), policy, new Date('2026-06-01T20:30:00Z')), undefined);
    assert.equal(findDownloadWaiting(terms('Hold'), { timeZone: 'UTC' }, noon), undefined);
  });
});
