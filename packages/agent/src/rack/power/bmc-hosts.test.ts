import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { networkInterfaces } from 'node:os';
import { type TestContext, test } from 'node:test';
import type { BmcOrder } from '@selvedge/api';
import { BmcHosts } from './bmc-hosts.ts';
import { openPower } from './open-power.ts';
import { PowerQueues } from './power-queues.ts';
import { HastyClock } from './testing/hasty-clock.ts';
import { listLogger, never } from './testing/test-bmc.ts';

const strict = new BmcHosts({ allowsLocal: false });
const isInvalid = { name: 'PowerError', reason: 'Invalid', message: /--rack-allow-local-bmc/ };

test('addresses of the rack itself and link-local ones are refused, those of a site are not', async () => {
  const own = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  for (const host of [
    '127.0.0.1',
    '127.9.9.9',
    '0.0.0.0',
    '[::1]',
    '::',
    '::ffff:127.0.0.1',
    '169.254.169.254',
    'fe80::1',
    'fe80::1%eth0',
    ...own.map(({ address }) => address),
  ])
    assert.throws(() => strict.check(host), isInvalid, host);
  for (const host of ['192.0.2.7', '[2001:db8::7]', 'bmc.example']) strict.check(host);
  assert.equal(await strict.resolve('192.0.2.7'), '192.0.2.7');
  await assert.rejects(strict.resolve('localhost'), isInvalid);
  new BmcHosts({ allowsLocal: true }).check('127.0.0.1');
});

async function startListener(t: TestContext): Promise<{ port: number; calls: () => number }> {
  let calls = 0;
  const server = createServer((_, res) => res.end('{"power":"On"}'));
  server.on('connection', () => (calls += 1));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return { port: (server.address() as AddressInfo).port, calls: () => calls };
}

function open(bmc: BmcOrder, hosts: BmcHosts) {
  const clock = new HastyClock();
  return openPower(
    { bmc, login: {}, macAddresses: [], broadcasts: [], hosts, clock, logger: listLogger([]) },
    new PowerQueues({ clock }),
  );
}

for (const type of ['Webhook', 'Redfish', 'IPMI'] as const) {
  for (const host of ['127.0.0.1', 'localhost', '2130706433']) {
    test(`a BMC of type ${type} at ${host} is not called`, async (t) => {
      const { port, calls } = await startListener(t);
      const address = type === 'IPMI' ? `${host}:${port}` : `http://${host}:${port}`;
      await using driver = closing(open({ type, address }, strict));
      await assert.rejects(driver.state(never()), isInvalid);
      assert.equal(calls(), 0);
    });
  }
}

test('names and addresses of this machine are called where that is allowed', async (t) => {
  const { port } = await startListener(t);
  for (const host of ['127.0.0.1', 'localhost']) {
    const address = `http://${host}:${port}`;
    await using driver = closing(open({ type: 'Webhook', address }, new BmcHosts({ allowsLocal: true })));
    assert.equal(await driver.state(never()), 'On');
  }
});

function closing(driver: ReturnType<typeof openPower>) {
  return Object.assign(driver, { [Symbol.asyncDispose]: () => driver.close() });
}
