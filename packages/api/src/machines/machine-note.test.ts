import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Machine } from '../kinds/machine.ts';
import { machineNote } from './machine-note.ts';

const machineOf = (spec: Partial<Machine['spec']>, status?: Machine['status']): Machine => ({
  apiVersion: 'selvedge.dev/v1alpha1',
  kind: 'Machine',
  metadata: { name: 'rack-7', generation: 2 },
  spec: { siteName: 'berlin', identity: {}, ...spec },
  ...(status === undefined ? {} : { status }),
});
const time = '2026-03-01T12:00:00Z';
const condition = (type: string, reason: string, message: string) => ({
  type,
  reason,
  message,
  status: 'False' as const,
  lastTransitionTime: time,
});
const here = { phase: 'Available', operationalStatus: 'OK', observedGeneration: 2 } as const;
const away = condition('SiteConnected', 'SiteAway', 'The site is silent.');

describe('the line that is said of a machine', () => {
  const cases: readonly (readonly [string, Machine, string])[] = [
    ['nothing is to be said', machineOf({}, here), ''],
    ['nobody has spoken of it', machineOf({}), 'the rack of site berlin has not said anything of it yet'],
    [
      'nobody is there to speak of it',
      machineOf({}, { conditions: [condition('Synced', 'NoAgent', 'No agent has joined yet.')] }),
      'No agent has joined yet.',
    ],
    [
      'an error goes before what goes on',
      machineOf(
        {},
        {
          ...here,
          error: { reason: 'DiskError', message: 'bad', since: time, count: 1 },
          progress: { step: 'Writing', done: 1, total: 3, unit: 'Bytes' },
        },
      ),
      'DiskError: bad',
    ],
    [
      'progress',
      machineOf({}, { ...here, progress: { step: 'Writing', done: 1, total: 3, unit: 'Bytes' } }),
      'Writing 33 %',
    ],
    [
      'progress as an earlier hub stored it',
      machineOf({}, { ...here, progress: { step: 'Testing', done: 1, total: 3, unit: 'Scripts' } }),
      'Testing 1 of 3',
    ],
    ['accepted by nobody', machineOf({ accepted: false }, here), 'found, and not accepted yet'],
    ['broken', machineOf({ broken: { reason: 'fan' } }, here), 'broken: fan'],
    ['a site that is away', machineOf({}, { ...here, conditions: [away] }), 'The site is silent.'],
    [
      'work at a site that is away',
      machineOf(
        {},
        { ...here, conditions: [away], progress: { step: 'Erasing', done: 1, total: 2, unit: 'Bytes' } },
      ),
      'Erasing 50 % (the site is silent)',
    ],
    [
      'a wish that the rack has not heard of',
      machineOf({}, { ...here, observedGeneration: 1 }),
      'on its way to the site: what was wanted last',
    ],
  ];
  for (const [name, machine, expected] of cases) {
    test(name, () => assert.equal(machineNote(machine), expected));
  }
});
