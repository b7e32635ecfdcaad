import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { systemClock } from '@selvedge/api/node';
import { getTool, requireTool } from '@selvedge/testkit';
import type { PowerOptions } from '../power-driver.ts';
import { PowerQueues } from '../power-queues.ts';
import { type IpmiSimulator, startIpmiSimulator } from '../testing/ipmi-simulator.ts';
import { listLogger, never } from '../testing/test-bmc.ts';
import { IpmiDriver } from './ipmi-driver.ts';

const run = promisify(execFile);
const needs = requireTool('ipmi_sim', 'ipmitool');

test('a true BMC is found, read and switched with the cipher suite that it takes', needs, async (t) => {
  const bmc = await startIpmiSimulator(t);
  const driver = openDriver(bmc);
  assert.equal(await driver.state(never()), 'Off');
  await driver.turn('On', never());
  assert.equal(await driver.state(never()), 'On');
  assert.ok(bmc.isOn());
  await driver.turn('On', never());
  await driver.turn('Cycle', never());
  await eventually(async () => assert.equal(bmc.changes().length, 3));
  await driver.turn('Off', never());
  await driver.turn('Off', never());
  await eventually(async () => assert.deepEqual(bmc.changes(), ['power 1', 'power 0', 'power 1', 'power 0']));
  const { firmware, quirks } = await driver.identify(never());
  assert.equal(firmware, '9.08');
  assert.deepEqual(quirks, ['NoCipherSuite17']);
});

test('network boot is asked for, read back, and reaches the machine before it starts', needs, async (t) => {
  const bmc = await startIpmiSimulator(t);
  const driver = openDriver(bmc, { bmc: { type: 'IPMI', address: bmc.address, cipherSuite: 3 } });
  // This BMC keeps the device only, no mode: none is claimed.
  assert.deepEqual(await driver.setBoot({ target: 'Network', mode: 'UEFI', isOnce: true }, never()), {
    target: 'Network',
    isOnce: true,
  });
  await driver.turn('Cycle', never());
  await eventually(async () => assert.deepEqual(bmc.changes().slice(-2), ['boot pxe', 'power 1']));
  await assert.rejects(driver.setBoot({ target: 'HTTP', isOnce: true }, never()), { reason: 'Unsupported' });
});

test('a wrong password, a wrong cipher suite and nobody at all are told apart', needs, async (t) => {
  const bmc = await startIpmiSimulator(t);
  const wrong = openDriver(bmc, { login: { username: 'root', password: 'wrong' } });
  await assert.rejects(wrong.state(never()), { reason: 'Unauthorized', message: /secretRef/ });
  const unknown = openDriver(bmc, { login: { username: 'nobody', password: 'wrong' } });
  await assert.rejects(unknown.state(never()), { reason: 'Unauthorized' });
  const suite = openDriver(bmc, { bmc: { type: 'IPMI', address: bmc.address, cipherSuite: 17 } });
  await assert.rejects(suite.state(never()), {
    reason: 'Unavailable',
    isPassing: false,
    message: /cipherSuite/,
  });
  const nobody = openDriver(bmc, { bmc: { type: 'IPMI', address: '127.0.0.1:9', cipherSuite: 3 } });
  await assert.rejects(nobody.state(never()), { reason: 'Unavailable', isPassing: true });
});

test(
  'another client reads what the driver set',
  requireTool('ipmi_sim', 'ipmitool', 'ipmipower'),
  async (t) => {
    const bmc = await startIpmiSimulator(t);
    const driver = openDriver(bmc);
    const ipmipower = async (command: string) => {
      const who = ['-h', bmc.address, '-u', bmc.login.username, '-p', bmc.login.password];
      const how = ['-D', 'LAN_2_0', '-I', '3', '-l', 'ADMIN', '-W', 'opensesspriv', command];
      return (await run(getTool('ipmipower'), [...who, ...how])).stdout.trim();
    };
    await driver.turn('On', never());
    assert.equal(await ipmipower('--stat'), '127.0.0.1: on');
    await ipmipower('--off');
    await eventually(async () => assert.equal(await driver.state(never()), 'Off'));
  },
);

function openDriver(bmc: IpmiSimulator, options: Partial<PowerOptions> = {}): IpmiDriver {
  return new IpmiDriver(
    {
      bmc: { type: 'IPMI', address: bmc.address },
      login: bmc.login,
      macAddresses: [],
      broadcasts: [],
      clock: systemClock,
      logger: listLogger([]),
      ...options,
    },
    new PowerQueues({ clock: systemClock, gapMs: 10 }),
  );
}

/** The simulator does what it was told a moment later. */
async function eventually(attempt: () => Promise<unknown>): Promise<void> {
  for (let round = 0; round < 150; round += 1) {
    try {
      await attempt();
      return;
    } catch {
      await systemClock.sleep(200);
    }
  }
  await attempt();
}
