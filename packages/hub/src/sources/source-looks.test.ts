import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Application } from '@selvedge/api';
import { SourceLooks } from './source-looks.ts';
import { SourceError } from './source-reading.ts';
import { refreshAnnotation } from './source-spec.ts';

const start = new Date('2026-01-01T00:00:00Z');
const after = (seconds: number) => new Date(start.getTime() + seconds * 1000);
const well = (seconds: number) => ({ now: after(seconds), isPresent: true });
const unwell = (seconds: number) => ({ now: after(seconds), isPresent: false });

function application(
  options: {
    interval?: string;
    refresh?: string;
    lastRefresh?: string;
    path?: string;
    secret?: string;
    uid?: string;
  } = {},
): Application {
  const { interval = '60s', refresh, lastRefresh, path = '.', secret, uid = '1' } = options;
  const secretRef = secret === undefined ? {} : { secretRef: { name: secret } };
  return {
    apiVersion: 'selvedge.dev/v1alpha1',
    kind: 'Application',
    metadata: {
      name: 'till',
      namespace: 'shop',
      uid,
      ...(refresh === undefined ? {} : { annotations: { [refreshAnnotation]: refresh } }),
    },
    spec: {
      source: { git: { url: 'https://git.example/shop.git', interval, path, ...secretRef } },
      placement: { siteSelector: {} },
    },
    ...(lastRefresh === undefined ? {} : { status: { lastRefresh } }),
  };
}

test('what was never read is looked at at once, what was within the interval', () => {
  const looks = new SourceLooks(() => 0.5);
  assert.equal(looks.secondsLeft('new', application(), unwell(0)), 0);
  assert.equal(looks.secondsLeft('known', application(), well(0)), 30);
  assert.equal(looks.secondsLeft('known', application(), well(20)), 10);
  assert.equal(looks.secondsLeft('known', application(), well(31)), 0);
});

test('a look that went well is followed by the next after the interval, with a spread', () => {
  for (const [random, seconds] of [
    [0, 54],
    [0.5, 60],
    [1, 66],
  ] as const) {
    const looks = new SourceLooks(() => random);
    looks.succeeded('a', application(), { now: start, isLast: false });
    assert.equal(Math.round(looks.secondsLeft('a', application(), well(0))), seconds);
  }
});

test('what can never move is not looked at again, until something changes', () => {
  const looks = new SourceLooks(() => 0.5);
  looks.succeeded('a', application(), { now: start, isLast: true });
  assert.equal(looks.secondsLeft('a', application(), well(1e9)), Infinity);
  assert.equal(looks.secondsLeft('a', application({ path: 'other' }), well(1)), 0);
  assert.equal(looks.secondsLeft('a', application({ refresh: 'now' }), well(1)), 0);
  looks.hurry('a');
  assert.equal(looks.secondsLeft('a', application(), well(1)), 0);
});

test('what changes while it is looked at asks for another look', () => {
  const looks = new SourceLooks(() => 0.5);
  looks.hurry('a');
  looks.began('a');
  looks.succeeded('a', application(), { now: start, isLast: false });
  assert.equal(looks.secondsLeft('a', application(), well(0)), 60);
  looks.began('a');
  looks.hurry('a');
  looks.succeeded('a', application(), { now: start, isLast: false });
  assert.equal(looks.secondsLeft('a', application(), well(0)), 0);
});

test('after failures it is tried soon, then less often, and never less often than the interval', () => {
  const looks = new SourceLooks(() => 0.5);
  const error = new SourceError('SourceUnavailable', 'away');
  const waits = [1, 2, 3, 4, 5].map(() => {
    looks.failed('a', application({ interval: '100s' }), { now: start, error, revision: undefined });
    return Math.round(looks.secondsLeft('a', application({ interval: '100s' }), unwell(0)));
  });
  assert.deepEqual(waits, [10, 20, 40, 80, 100]);
});

test('a revision that cannot be read is remembered, until somebody asks or the spec changes', () => {
  const looks = new SourceLooks(() => 0.5);
  const error = new SourceError('RenderFailed', 'broken');
  looks.failed('a', application(), { now: start, error, revision: 'main@1' });
  assert.equal(looks.findFailure('a', application(), 'main@1'), error);
  assert.equal(looks.findFailure('a', application(), 'main@2'), undefined);
  assert.equal(looks.findFailure('a', application({ refresh: 'now' }), 'main@1'), undefined);
  assert.equal(looks.findFailure('a', application({ path: 'other' }), 'main@1'), undefined);
});

test('a clock that is set back stops nothing for long', () => {
  const looks = new SourceLooks(() => 0.5);
  looks.succeeded('a', application(), { now: start, isLast: false });
  assert.equal(looks.secondsLeft('a', application(), well(-1e6)), 120);
});

test('a refresh counts from when the hub heard of it, whatever the clock of who asked says', () => {
  const looks = new SourceLooks(() => 0.5);
  const asked = application({ refresh: '1999-01-01T00:00:00Z' });
  looks.notice('a', asked, start);
  looks.notice('a', asked, after(50));
  const annotationOf = (of: Application) =>
    looks.withAskedTime('a', of).metadata.annotations?.[refreshAnnotation];
  assert.equal(annotationOf(asked), start.toISOString());
  assert.equal(annotationOf(application({ refresh: 'later' })), 'later');
  const done = { refresh: '1999-01-01T00:00:00Z', lastRefresh: '1999-01-01T00:00:00Z' };
  assert.equal(annotationOf(application(done)), done.lastRefresh);
});

test('a refresh that was carried out before the hub was started is not again', () => {
  const looks = new SourceLooks(() => 0.5);
  assert.equal(looks.secondsLeft('a', application({ refresh: 'x', lastRefresh: 'x' }), well(0)), 30);
  assert.equal(looks.secondsLeft('b', application({ refresh: 'x', lastRefresh: 'w' }), well(0)), 0);
});

test('what was found for an Application counts for no other of its name', () => {
  const looks = new SourceLooks(() => 0.5);
  looks.succeeded('a', application(), { now: start, isLast: true });
  assert.equal(looks.secondsLeft('a', application({ uid: '2' }), unwell(1)), 0);
  const error = new SourceError('RenderFailed', 'broken');
  looks.failed('b', application(), { now: start, error, revision: 'main@1' });
  assert.equal(looks.secondsLeft('b', application({ uid: '2' }), unwell(1)), 0);
  assert.equal(looks.findFailure('b', application({ uid: '2' }), 'main@1'), undefined);
});

test('an Application that does not say what was read of it is looked at again soon', () => {
  const looks = new SourceLooks(() => 0.5);
  looks.succeeded('a', application(), { now: start, isLast: true });
  assert.equal(looks.secondsLeft('a', application(), unwell(0)), 10);
  assert.equal(looks.secondsLeft('a', application(), unwell(10)), 0);
  assert.equal(looks.secondsLeft('a', application(), well(10)), Infinity);
});

test('another login or interval in the spec ends the wait after a failure', () => {
  const looks = new SourceLooks(() => 0.5);
  const error = new SourceError('AuthenticationFailed', 'no');
  const of = { interval: '24h', secret: 'wrong' };
  for (let i = 0; i < 20; i++) looks.failed('a', application(of), { now: start, error, revision: undefined });
  assert.equal(looks.secondsLeft('a', application(of), unwell(0)), 86_400);
  assert.equal(looks.secondsLeft('a', application({ ...of, secret: 'right' }), unwell(0)), 0);
  assert.equal(looks.secondsLeft('a', application({ ...of, interval: '1h' }), unwell(0)), 0);
});
