import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type BmcOrder, bmcTypes } from '@selvedge/api';
import { openPower } from './open-power.ts';
import type { PowerDriver } from './power-driver.ts';
import { PowerQueues } from './power-queues.ts';
import { HastyClock } from './testing/hasty-clock.ts';
import { listLogger, never } from './testing/test-bmc.ts';

const addresses: Readonly<Record<BmcOrder['type'], string | undefined>> = {
  Redfish: 'https://10.0.0.5',
  IPMI: '10.0.0.5',
  WakeOnLAN: undefined,
  Webhook: 'https://plug.example/7',
  Manual: undefined,
};

test('every kind of BMC has a driver that says what it can do, and calls nobody before it is asked', async () => {
  const rows: unknown[] = [];
  for (const type of bmcTypes) {
    const driver = open(type);
    const { readsState, turnsOn, turnsOff, setsBoot } = driver.abilities;
    rows.push([type, readsState, turnsOn, turnsOff, setsBoot]);
    await driver.close();
  }
  // As the table of docs/guides/bmc.md has it.
  assert.deepEqual(rows, [
    ['Redfish', true, true, true, true],
    ['IPMI', true, true, true, true],
    ['WakeOnLAN', false, true, false, false],
    ['Webhook', true, true, true, true],
    ['Manual', false, false, false, false],
  ]);
});

test('a machine that is switched by hand says what a person has to do', async () => {
  const driver = open('Manual');
  assert.equal(await driver.state(never()), 'Unknown');
  await assert.rejects(driver.turn('On', never()), { reason: 'Unsupported', message: /power button/ });
  const setting = { target: 'Network', isOnce: true } as const;
  await assert.rejects(driver.setBoot(setting, never()), {
    reason: 'Unsupported',
    message: /network boot first/,
  });
  assert.deepEqual(await driver.identify(never()), { quirks: [] });
});

function open(type: BmcOrder['type']): PowerDriver {
  const clock = new HastyClock();
  const address = addresses[type];
  const bmc = { type, ...(address === undefined ? {} : { address }) };
  const macAddresses = ['52:54:00:00:00:01'];
  return openPower(
    { bmc, login: {}, macAddresses, broadcasts: [], clock, logger: listLogger([]) },
    new PowerQueues({ clock }),
  );
}
