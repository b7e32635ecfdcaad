import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isStatusError } from '@selvedge/api';
import { FakeClock } from '@selvedge/testkit';
import { MetricRegistry } from '../metrics/metric-registry.ts';
import { ServerMetrics } from '../metrics/server-metrics.ts';
import { defaultFlowLimits, FlowControl } from './flow-control.ts';

const session = { isMutating: false, isLongRunning: true, isSession: true, answerKey: undefined };
const user = (name: string) => ({ name, groups: [], extra: {} });

test('one user has a tenth of the sessions with sites, and gets the place of each that ends', () => {
  const metrics = new ServerMetrics(new MetricRegistry());
  const flow = new FlowControl({ limits: defaultFlowLimits, clock: new FakeClock(), metrics });
  const open = Array.from({ length: 200 }, () => flow.enter(user('anna'), session));
  const isTooMany = (error: unknown) =>
    isStatusError(error, 'TooManyRequests') && /anna: too many sessions/.test(error.message);
  assert.throws(() => flow.enter(user('anna'), session), isTooMany);
  // Her other requests, and other people's sessions, go on.
  flow.enter(user('anna'), { ...session, isLongRunning: false, isSession: false }).leave();
  flow.enter(user('ben'), session).leave();
  open[0]?.leave();
  flow.enter(user('anna'), session);
  assert.throws(() => flow.enter(user('anna'), session), isTooMany);
});
