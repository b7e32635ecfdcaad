import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forecastRollout } from './forecast-rollout.ts';
import { SimulatedFleet } from './testing/simulated-fleet.ts';

const shops = (count: number) => Array.from({ length: count }, (_, index) => `shop-${index + 1}`);

test('a forecast names the sites of each wave, and is what the rollout then does', () => {
  const fleet = new SimulatedFleet(
    {
      waves: [
        { name: 'lab', siteNames: ['shop-3'], soak: '5m' },
        { name: 'few', sites: 4, approval: 'Manual' },
        { name: 'rest', percent: 100 },
      ],
      prepare: { deadline: '2h' },
      deadline: '3m',
    },
    shops(8),
  );
  fleet.disconnect('shop-8');
  fleet.site('shop-7').held = { reason: 'SiteHold', message: 'stocktaking' };
  fleet.approvedWaves.add('few');
  const before = structuredClone(fleet.status);
  const forecast = forecastRollout(fleet.input);
  assert.deepEqual(fleet.status, before);
  assert.deepEqual(
    forecast.waves.map((w) => [w.name, w.sites.length, w.isManual, w.soakSeconds]),
    [
      ['lab', 1, false, 300],
      ['few', 3, true, 0],
      ['rest', 4, false, 0],
    ],
  );
  assert.deepEqual(
    forecast.waves.map((w) => [w.isPrepared, w.prepareSeconds, w.deadlineSeconds]),
    Array.from({ length: 3 }, () => [true, 7200, 180]),
  );
  assert.deepEqual(forecast.away, ['shop-8']);
  assert.deepEqual(forecast.held, [{ site: 'shop-7', reason: 'SiteHold', message: 'stocktaking' }]);
  fleet.settle();
  fleet.wait(300);
  fleet.settle();
  for (const wave of forecast.waves) {
    const drawn = [...fleet.members].filter(([, name]) => name === wave.name).map(([site]) => site);
    assert.deepEqual(drawn.toSorted(), wave.sites.toSorted(), wave.name);
  }
});

test('a forecast tells which sites the release cannot go to', () => {
  const fleet = new SimulatedFleet({}, shops(2));
  fleet.releaseVariables = ['city'];
  fleet.site('shop-1').variables.add('city');
  const [blocked] = forecastRollout(fleet.input).blocked;
  assert.equal(blocked?.site, 'shop-2');
  assert.equal(blocked?.reason, 'VariableUndefined');
});
