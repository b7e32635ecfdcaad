import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ImagePullError } from './images.ts';
import { problemOfError } from './problem-of-error.ts';

const minuteMs = 60_000;
const failure = (error: unknown, lastedMs: number) => ({ error, count: 9, lastedMs, retryAt: 0 });
const denied = (wantsLogin: boolean) => new ImagePullError('denied', { isLasting: true, wantsLogin });

test('a registry that wants a login is given time for one to come', () => {
  assert.equal(problemOfError(failure(denied(true), 0))?.isLasting, false);
  assert.equal(problemOfError(failure(denied(true), 4 * minuteMs))?.isLasting, false);
  assert.equal(problemOfError(failure(denied(true), 5 * minuteMs))?.isLasting, true);
});

test('a registry that refuses the login that there is has said its word', () => {
  assert.equal(problemOfError(failure(denied(false), 0))?.isLasting, true);
});
