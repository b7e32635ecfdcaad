import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import type { Blackout, SitePolicy, TimeWindow } from '../sync/sync-protocol.ts';
import {
  dayMilliseconds,
  MinuteModel,
  type ModelSchedule,
  type ModelWindow,
} from './testing/minute-model.ts';
import { findScheduleFault, findWindowDurationFault, windowState } from './windows.ts';

const hour = 3600;

function policyOf(timeZone: string, windows: readonly TimeWindow[], blackouts: readonly Blackout[] = []) {
  return { timeZone, activateWindows: windows, blackouts } satisfies SitePolicy;
}

const nightly = (timeZone: string) => policyOf(timeZone, [{ schedule: '30 2 * * *', durationSeconds: hour }]);
const activate = (policy: SitePolicy, time: string) => windowState(policy, 'activate', new Date(time));

describe('windowState', () => {
  it('is always open without windows, and nothing changes that', () => {
    assert.deepEqual(activate({ timeZone: 'UTC' }, '2026-11-22T02:00:00Z'), { isOpen: true });
    assert.deepEqual(windowState({ timeZone: 'UTC' }, 'download', new Date(0)), { isOpen: true });
  });

  it('opens at the wall time of the site for the duration, the end not included', () => {
    const policy = nightly('Europe/Berlin');
    assert.deepEqual(activate(policy, '2026-11-22T01:29:59.999Z'), {
      isOpen: false,
      changesAt: '2026-11-22T01:30:00Z',
    });
    assert.deepEqual(activate(policy, '2026-11-22T01:30:00Z'), {
      isOpen: true,
      changesAt: '2026-11-22T02:30:00Z',
    });
    assert.deepEqual(activate(policy, '2026-11-22T02:30:00Z'), {
      isOpen: false,
      changesAt: '2026-11-23T01:30:00Z',
    });
  });

  it('opens at the next instant that there is when its time does not come on that day', () => {
    const policy = nightly('Europe/Berlin');
    assert.deepEqual(activate(policy, '2026-03-29T00:59:00Z'), {
      isOpen: false,
      changesAt: '2026-03-29T01:00:00Z',
    });
    assert.deepEqual(activate(policy, '2026-03-29T01:00:00Z'), {
      isOpen: true,
      changesAt: '2026-03-29T02:00:00Z',
    });
  });

  it('opens once, at the first, when its time comes twice', () => {
    const policy = nightly('Europe/Berlin');
    assert.deepEqual(activate(policy, '2026-10-25T00:30:00Z'), {
      isOpen: true,
      changesAt: '2026-10-25T01:30:00Z',
    });
    assert.deepEqual(activate(policy, '2026-10-25T01:30:00Z'), {
      isOpen: false,
      changesAt: '2026-10-26T01:30:00Z',
    });
  });

  it('keeps its duration in true time when clocks are set meanwhile', () => {
    const policy = policyOf('America/New_York', [{ schedule: '0 22 * * *', durationSeconds: 8 * hour }]);
    assert.equal(activate(policy, '2026-03-08T04:00:00Z').changesAt, '2026-03-08T11:00:00Z');
    assert.equal(activate(policy, '2026-11-01T04:00:00Z').changesAt, '2026-11-01T10:00:00Z');
  });

  it('follows clocks that are set by half an hour', () => {
    const policy = policyOf('Australia/Lord_Howe', [{ schedule: '15 2 * * *', durationSeconds: hour }]);
    // Forward on 2026-10-04 at 02:00 (15:30Z) to 02:30, back on 2026-04-05 at 02:00 (15:00Z) to 01:30.
    assert.equal(activate(policy, '2026-10-03T15:00:00Z').changesAt, '2026-10-03T15:30:00Z');
    assert.equal(activate(policy, '2026-04-04T15:00:00Z').changesAt, '2026-04-04T15:45:00Z');
  });

  it('opens a window of a day that a country left out with the day after it', () => {
    const policy = policyOf('Pacific/Apia', [{ schedule: '0 3 30 12 *', durationSeconds: hour }]);
    assert.equal(activate(policy, '2011-12-29T12:00:00Z').changesAt, '2011-12-30T10:00:00Z');
  });

  it('takes windows that overlap or touch as one', () => {
    const policy = policyOf('UTC', [
      { schedule: '0 1 * * *', durationSeconds: 2 * hour },
      { schedule: '0 2 * * *', durationSeconds: 3 * hour },
      { schedule: '0 5 * * 1', durationSeconds: hour },
    ]);
    assert.equal(activate(policy, '2026-11-22T01:00:00Z').changesAt, '2026-11-22T05:00:00Z');
    assert.equal(activate(policy, '2026-11-23T01:00:00Z').changesAt, '2026-11-23T06:00:00Z');
  });

  it('reads days as cron does: either of day and weekday, last days, n-th weekdays, Sunday as 0 and 7', () => {
    const next = (schedule: string) =>
      activate(policyOf('UTC', [{ schedule, durationSeconds: hour }]), '2026-11-02T00:00:00Z').changesAt;
    assert.equal(next('0 3 13 * 5'), '2026-11-06T03:00:00Z');
    assert.equal(next('0 3 L * *'), '2026-11-30T03:00:00Z');
    assert.equal(next('0 3 * * SUN#1'), '2026-12-06T03:00:00Z');
    assert.equal(next('0 3 * * 7'), '2026-11-08T03:00:00Z');
    assert.equal(next('0 3 * * 0'), '2026-11-08T03:00:00Z');
  });

  it('has no next change when windows leave no gap for a year', () => {
    const policy = policyOf('Asia/Kathmandu', [{ schedule: '0 */2 * * *', durationSeconds: 2 * hour }]);
    assert.deepEqual(activate(policy, '2026-11-22T00:00:00Z'), { isOpen: true });
  });

  it('tells no change that is more than a year away, and tells it once it is nearer', () => {
    const policy = policyOf('UTC', [{ schedule: '0 0 29 2 *', durationSeconds: hour }]);
    assert.deepEqual(activate(policy, '2026-11-22T00:00:00Z'), { isOpen: false });
    assert.deepEqual(activate(policy, '2027-06-01T00:00:00Z'), {
      isOpen: false,
      changesAt: '2028-02-29T00:00:00Z',
    });
  });

  it('is closed on blackout days from midnight to midnight of the site, on days of 23 and 25 hours too', () => {
    const spring = policyOf('Europe/Berlin', [], [{ from: '2026-03-29', to: '2026-03-29', reason: 'stock' }]);
    assert.deepEqual(activate(spring, '2026-03-28T22:59:59Z'), {
      isOpen: true,
      changesAt: '2026-03-28T23:00:00Z',
    });
    assert.deepEqual(activate(spring, '2026-03-28T23:00:00Z'), {
      isOpen: false,
      changesAt: '2026-03-29T22:00:00Z',
      blackout: { from: '2026-03-29', to: '2026-03-29', reason: 'stock', endsAt: '2026-03-29T22:00:00Z' },
    });
    const autumn = policyOf('Europe/Berlin', [], [{ from: '2026-10-25', to: '2026-10-25' }]);
    assert.equal(activate(autumn, '2026-10-24T22:00:00Z').changesAt, '2026-10-25T23:00:00Z');
  });

  it('begins a blackout with the first instant of a day that has no midnight', () => {
    // In Beirut clocks go from 00:00 to 01:00.
    const policy = policyOf('Asia/Beirut', [], [{ from: '2026-03-29', to: '2026-03-29' }]);
    assert.equal(activate(policy, '2026-03-28T12:00:00Z').changesAt, '2026-03-28T22:00:00Z');
    assert.equal(activate(policy, '2026-03-28T22:00:00Z').changesAt, '2026-03-29T21:00:00Z');
  });

  it('names the blackout that is on also when no window is open, and merges blackouts that follow each other', () => {
    const policy = policyOf(
      'UTC',
      [{ schedule: '0 2 * * *', durationSeconds: hour }],
      [
        { from: '2026-12-27', to: '2026-12-31' },
        { from: '2026-12-20', to: '2026-12-26', reason: 'Christmas' },
      ],
    );
    assert.deepEqual(activate(policy, '2026-12-20T12:00:00Z'), {
      isOpen: false,
      changesAt: '2027-01-01T02:00:00Z',
      blackout: { from: '2026-12-20', to: '2026-12-26', reason: 'Christmas', endsAt: '2027-01-01T00:00:00Z' },
    });
    assert.equal(activate(policy, '2026-12-19T23:59:00Z').blackout, undefined);
    assert.equal(activate(policy, '2026-12-20T00:00:00Z').blackout?.reason, 'Christmas');
  });

  it('lets blackouts alone when it comes to downloads', () => {
    const policy: SitePolicy = {
      timeZone: 'UTC',
      downloadWindows: [{ schedule: '0 1 * * *', durationSeconds: hour }],
      blackouts: [{ from: '2026-12-20', to: '2026-12-26' }],
    };
    assert.equal(windowState(policy, 'download', new Date('2026-12-21T01:00:00Z')).isOpen, true);
  });

  it('is closed, and says why, when it cannot read the policy', () => {
    const wrong: [SitePolicy, RegExp][] = [
      [nightly('Mars/Olympus'), /time zone Mars\/Olympus/],
      [policyOf('Mars/Olympus', [], [{ from: '2026-12-20', to: '2026-12-26' }]), /time zone Mars\/Olympus/],
      [
        policyOf('UTC', [{ schedule: '61 * * * *', durationSeconds: hour }]),
        /schedule "61 \* \* \* \*".*minute/,
      ],
      [policyOf('UTC', [{ schedule: '0 1 * * *', durationSeconds: 0 }]), /duration 0/],
      [policyOf('UTC', [], [{ from: 'Christmas', to: '2026-12-26' }]), /"Christmas" is no date/],
    ];
    for (const [policy, fault] of wrong) {
      const { isOpen, changesAt, fault: said } = activate(policy, '2026-11-22T00:00:00Z');
      assert.deepEqual({ isOpen, changesAt }, { isOpen: false, changesAt: undefined });
      assert.match(said ?? '', fault);
    }
  });

  it('is open in a time zone that it does not know when nothing is limited', () => {
    assert.deepEqual(activate({ timeZone: 'Mars/Olympus' }, '2026-11-22T00:00:00Z'), { isOpen: true });
  });

  it('loads no time zones (8 MiB of an agent) for UTC, or where nothing is limited', (t) => {
    const loaded = t.mock.method(Intl, 'DateTimeFormat');
    const blackouts = [{ from: '2026-12-20', to: '2026-12-26' }];
    const inUtc = policyOf('UTC', [{ schedule: '17 3 * * 1-5', durationSeconds: hour }], blackouts);
    assert.equal(activate(inUtc, '2026-11-23T03:17:00Z').isOpen, true);
    assert.equal(activate({ timeZone: 'Pacific/Nauru' }, '2026-11-23T03:17:00Z').isOpen, true);
    assert.equal(loaded.mock.callCount(), 0);
    activate(nightly('Pacific/Nauru'), '2026-11-23T03:17:00Z');
    assert.ok(loaded.mock.callCount() > 0, 'or this test sees nothing');
  });

  it('answers by the time that it is asked for, also when that went back', () => {
    const policy = nightly('UTC');
    assert.equal(activate(policy, '2026-11-22T02:45:00Z').isOpen, true);
    assert.equal(activate(policy, '2026-11-22T04:00:00Z').isOpen, false);
    assert.equal(activate(policy, '2026-11-22T02:45:00Z').isOpen, true);
  });

  it('looks at none of the many windows that a long blackout hides', () => {
    const windows = Array.from({ length: 20 }, () => ({ schedule: '*/2 * * * *', durationSeconds: 60 }));
    const startedMs = performance.now();
    for (let day = 10; day < 40; day++) {
      // Each is another policy: nothing is known of it.
      const from = new Date(Date.UTC(2026, 10, day)).toISOString().slice(0, 10);
      const policy = policyOf('Europe/Berlin', windows, [{ from, to: '2027-06-30', reason: 'season' }]);
      assert.deepEqual(activate(policy, `${from}T12:00:00Z`).changesAt, '2027-06-30T22:00:00Z');
      const longer = policyOf('UTC', windows, [{ from, to: '2028-12-31', reason: 'season' }]);
      const { isOpen, changesAt } = activate(longer, `${from}T12:00:00Z`);
      assert.deepEqual([isOpen, changesAt], [false, undefined]);
    }
    // Window by window each policy takes more than a second.
    assert.ok(performance.now() - startedMs < 20_000);
  });
});

describe('validation of windows', () => {
  it('accepts five fields with lists, ranges, steps, names, last and n-th days', () => {
    for (const schedule of [
      '0 22 * * 1-5',
      '*/15 1,2,3 1-7 JAN-MAR SUN',
      '0 3 L * *',
      '0 3 * * 0#1',
      '0 3 * * 7',
    ])
      assert.equal(findScheduleFault(schedule), undefined, schedule);
  });

  it('says what is wrong with an expression', () => {
    const wrong: [string, RegExp][] = [
      ['', /it has 1 fields/],
      ['0 0 22 * * 1-5', /it has 6 fields/],
      ['@daily', /it has 1 fields/],
      ['0 24 * * *', /hour: 24/],
      ['60 * * * *', /minute: 60/],
      ['? 1 * * *', /'\?' has no meaning/],
      ['0 22-2 * * *', /larger/],
      ['five past noon on Sundays', /has to stand alone/],
      ['0 0 30 2 *', /no such day/],
    ];
    for (const [schedule, fault] of wrong) assert.match(findScheduleFault(schedule) ?? '', fault, schedule);
  });

  it('accepts durations of a minute to 31 days', () => {
    for (const seconds of [60, 8 * hour, 31 * 24 * hour])
      assert.equal(findWindowDurationFault(seconds), undefined);
    for (const seconds of [0, 59, 31 * 24 * hour + 1])
      assert.equal(findWindowDurationFault(seconds), 'must be from 1m to 31d');
  });
});

/** Zones, and instants near to which their clocks are set. */
const turns: readonly [string, string][] = [
  ['Europe/Berlin', '2026-03-29T01:00:00Z'],
  ['Europe/Berlin', '2026-10-25T01:00:00Z'],
  ['America/New_York', '2026-03-08T07:00:00Z'],
  ['America/New_York', '2026-11-01T06:00:00Z'],
  ['Australia/Lord_Howe', '2026-10-03T15:30:00Z'],
  ['Australia/Lord_Howe', '2026-04-04T15:00:00Z'],
  ['America/Havana', '2026-11-01T05:00:00Z'],
  ['Asia/Beirut', '2026-03-28T22:00:00Z'],
  ['Pacific/Apia', '2011-12-30T10:00:00Z'],
  ['Asia/Kathmandu', '2026-06-15T00:00:00Z'],
  ['UTC', '2026-02-28T12:00:00Z'],
];

describe('windowState against a clock that is looked at every minute', () => {
  const field = (max: number) =>
    fc.oneof(
      fc.constant({ text: '*', values: Array.from({ length: max }, (_, n) => n) }),
      fc
        .uniqueArray(fc.integer({ min: 0, max: max - 1 }), { minLength: 1, maxLength: 3 })
        .map((values) => ({ text: values.join(','), values })),
      fc
        .integer({ min: 2, max: max - 1 })
        .map((step) => ({ text: `*/${step}`, values: valuesUpTo(max).filter((n) => n % step === 0) })),
    );
  // Times near those at which clocks are set, mostly.
  const nightHour = fc
    .uniqueArray(fc.constantFrom(0, 1, 2, 3, 23), { minLength: 1, maxLength: 3 })
    .map((values) => ({ text: values.join(','), values }));
  const day = fc.oneof(
    { weight: 3, arbitrary: fc.constant({ text: '* * *', isOnDay: () => true }) },
    fc.uniqueArray(fc.integer({ min: 0, max: 6 }), { minLength: 1, maxLength: 4 }).map((days) => ({
      text: `* * ${days.join(',')}`,
      isOnDay: (date: Date) => days.includes(date.getUTCDay()),
    })),
    fc.integer({ min: 1, max: 31 }).map((first) => ({
      text: `${first}-31 * *`,
      isOnDay: (date: Date) => date.getUTCDate() >= first,
    })),
  );
  const schedule = fc.tuple(field(60), fc.oneof(nightHour, field(24)), day).map(
    ([minute, hours, days]): ModelSchedule => ({
      text: `${minute.text} ${hours.text} ${days.text}`,
      minutes: new Set(minute.values),
      hours: new Set(hours.values),
      isOnDay: days.isOnDay,
    }),
  );
  const window = fc.record({
    schedule,
    durationSeconds: fc.integer({ min: 1, max: 30 * 60 }).map((minutes) => minutes * 60),
  });
  const situation = fc.record({
    turn: fc.constantFrom(...turns),
    windows: fc.array(window, { maxLength: 3 }),
    blackoutDays: fc.array(fc.tuple(fc.integer({ min: -2, max: 3 }), fc.integer({ min: 0, max: 2 })), {
      maxLength: 2,
    }),
    minutesFromTurn: fc.integer({ min: -2 * 1440, max: 2 * 1440 }),
  });

  it('says the same of every zone', () => {
    fc.assert(
      fc.property(situation, ({ turn: [timeZone, turn], windows, blackoutDays, minutesFromTurn }) => {
        const at = Date.parse(turn);
        const dateOf = (days: number) => new Date(at + days * dayMilliseconds).toISOString().slice(0, 10);
        const policy = policyOf(
          timeZone,
          windows.map((w: ModelWindow) => ({
            schedule: w.schedule.text,
            durationSeconds: w.durationSeconds,
          })),
          blackoutDays.map(([from, length]) => ({ from: dateOf(from), to: dateOf(from + length) })),
        );
        const range = { from: at - 5 * dayMilliseconds, to: at + 4 * dayMilliseconds };
        const model = new MinuteModel(policy, windows, range);
        const now = at + minutesFromTurn * 60_000;
        const { isOpen, changesAt } = windowState(policy, 'activate', new Date(now));
        assert.equal(isOpen, model.isOpenAt(now));
        const change = changesAt === undefined ? Number.POSITIVE_INFINITY : Date.parse(changesAt);
        assert.equal(change < range.to ? change : undefined, model.findChange(now));
      }),
      { numRuns: 120 },
    );
  });
});

function valuesUpTo(max: number): number[] {
  return Array.from({ length: max }, (_, n) => n);
}
