import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { defaultItemTerms, type KubeObject } from '@selvedge/api';
import { FakeClock } from '@selvedge/testkit';
import type { DriverItem, DriverReport } from '../drivers/driver.ts';
import { MemoryDriver } from './memory-driver.ts';
import { type Outcome, withOutcome } from './release-outcome.ts';

const manifests: KubeObject[] = [{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'x' } }];

function itemOf(release: string, options: { outcome?: Outcome } & Partial<DriverItem> = {}): DriverItem {
  const { outcome = {}, ...rest } = options;
  return {
    item: {
      id: 'Application/shop/till',
      uid: 'u',
      epoch: 1,
      release,
      digest: `sha256:${release}`,
      deadlineSeconds: 60,
      terms: defaultItemTerms,
    },
    mayFetch: true,
    mayActivate: true,
    siteName: 'shop',
    variables: {},
    labels: {},
    nodeGroups: [],
    secrets: new Map(),
    secretVersions: {},
    logins: [],
    manifests: async () => withOutcome(manifests, outcome),
    ...rest,
  };
}

async function driverAt(clock: FakeClock) {
  const driver = new MemoryDriver({ clock });
  const reports: DriverReport[] = [];
  driver.onReport((report) => reports.push(report));
  await driver.start();
  const told = () => reports.map(({ release, state, reason }) => [release, state, reason].join(' ').trim());
  return { driver, reports, told };
}

describe('the driver in memory', () => {
  test('a release without an outcome is prepared and runs at once', async () => {
    const clock = new FakeClock();
    const { driver, told } = await driverAt(clock);
    driver.setDesired([itemOf('a')]);
    await clock.advance(0);
    assert.deepEqual(told(), ['a Running']);
  });

  test('it waits prepared until it may be activated, and what ran goes on', async () => {
    const clock = new FakeClock();
    const { driver, told, reports } = await driverAt(clock);
    driver.setDesired([itemOf('a')]);
    await clock.advance(0);
    const outcome = { prepare: 'slow:5' as const, images: [{ name: 'i', sizeBytes: 7 }] };
    driver.setDesired([itemOf('b', { outcome, mayActivate: false, mayFetch: false })]);
    await clock.advance(10_000);
    driver.setDesired([itemOf('b', { outcome, mayActivate: false })]);
    await clock.advance(5_000);
    assert.deepEqual(told(), ['a Running', 'b Preparing', 'b Prepared']);
    assert.equal(reports.at(-1)?.runningDigest, 'sha256:a');
    assert.deepEqual(reports.at(-1)?.images, outcome.images);
    driver.setDesired([itemOf('b', { outcome })]);
    await clock.advance(0);
    assert.equal(told().at(-1), 'b Running');
    assert.equal(reports.at(-1)?.runningDigest, 'sha256:b');
  });

  test('a release that crashes fails, leaves the one before serving, and that one is back at once', async () => {
    const clock = new FakeClock();
    const { driver, told, reports } = await driverAt(clock);
    driver.setDesired([itemOf('a')]);
    await clock.advance(0);
    driver.setDesired([itemOf('b', { outcome: { health: 'crash-after:3' } })]);
    await clock.advance(3_000);
    driver.setDesired([itemOf('a')]);
    await clock.advance(0);
    assert.deepEqual(told(), ['a Running', 'b Activating', 'b Failed CrashLoop', 'a Running']);
    assert.deepEqual(new Set(reports.map((report) => report.runningDigest)), new Set(['sha256:a']));
  });

  test('one fails by its deadline, one later, one is let go and runs on', async () => {
    const clock = new FakeClock();
    const { driver, told } = await driverAt(clock);
    driver.setDesired([itemOf('a', { outcome: { health: 'never' } })]);
    await clock.advance(60_000);
    driver.setDesired([itemOf('b', { outcome: { health: 'fails-after:100' } })]);
    await clock.advance(100_000);
    driver.setDesired([itemOf('c')]);
    await clock.advance(0);
    driver.setDesired([]);
    driver.remove({ id: 'Application/shop/till', uid: 'u', epoch: 2, mode: 'Orphan' });
    await clock.advance(0);
    assert.deepEqual(told(), [
      'a Activating',
      'a Failed DeadlineExceeded',
      'b Running',
      'b Degraded CrashLoop',
      'c Running',
      'Removed',
    ]);
    assert.equal(driver.machine.orphaned.get('Application/shop/till u')?.item.release, 'c');
    assert.deepEqual(driver.releases('till'), ['a', 'b', 'c']);
    assert.deepEqual(driver.failures('till'), ['a']);
    assert.deepEqual(driver.orphans('till'), ['']);
    assert.equal(driver.gaps('till'), 0);
  });
});
