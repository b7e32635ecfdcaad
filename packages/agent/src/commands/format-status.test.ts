import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { formatStatus } from './format-status.ts';
import type { AgentStatus } from './read-status.ts';

const hostile = 'a\u001b[2J\u009b2Jb\r\nSite: c';
const time = '2026-01-01T00:00:00.000Z';
const id = `Application/default/${hostile}`;
const release = { release: hostile, digest: 'sha256:1' };

describe('the status for a person at the site', () => {
  test('is not steered by what the hub, the runtime or another person wrote', () => {
    const status: AgentStatus = {
      enrolled: true,
      site: hostile,
      hub: hostile,
      keyRefusal: hostile,
      trouble: hostile,
      troubleSince: time,
      epoch: 1,
      hubHold: hostile,
      holds: [{ item: id, reason: hostile, by: hostile, sinceTime: time }],
      items: [
        {
          id,
          uid: 'u',
          wantedRelease: hostile,
          activeRelease: hostile,
          report: {
            id,
            uid: 'u',
            epoch: 1,
            ...release,
            seq: 1,
            state: 'Failed',
            reason: hostile,
            message: hostile,
            sinceTime: time,
            observedTime: time,
          },
          verdicts: [{ ...release, attempt: 1, kind: 'Unhealthy', reason: hostile, message: hostile, time }],
        },
      ],
      machines: [
        {
          name: hostile,
          phase: 'Provisioning',
          phaseSince: time,
          status: 'Error',
          power: 'On',
          image: hostile,
          address: hostile,
          message: hostile,
        },
      ],
      acts: [
        {
          seq: 1,
          isTold: false,
          time,
          kind: 'Hold',
          by: hostile,
          reason: hostile,
          message: hostile,
          item: id,
        },
      ],
      orders: [{ item: { id, uid: 'u' }, by: hostile, reason: hostile }],
    };
    const text = formatStatus(status, new Date(time));
    assert.ok(!/[^\P{Cc}\n]/u.test(text), JSON.stringify(text));
    assert.equal(text.split('\n').filter((line) => line.startsWith('Site:')).length, 1);
    assert.ok(text.split('\n').filter((line) => line.includes('b Site: c')).length >= 11, text);
    const waiting = formatStatus(
      { ...status, enrolled: false, items: [], acts: [], orders: [] },
      new Date(time),
    );
    assert.ok(!/[^\P{Cc}\n]/u.test(waiting), JSON.stringify(waiting));
  });
});
