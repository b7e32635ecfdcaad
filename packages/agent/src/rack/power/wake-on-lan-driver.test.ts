import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import type { BmcOrder } from '@selvedge/api';
import { HastyClock } from './testing/hasty-clock.ts';
import { listLogger, never } from './testing/test-bmc.ts';
import { WakeOnLanDriver } from './wake-on-lan-driver.ts';

const macAddress = '52:54:00:ab:cd:ef';

test('a machine is woken by its magic packet', async (t) => {
  const socket = await listen(t);
  const heard: Buffer[] = [];
  socket.on('message', (packet) => void heard.push(packet));
  const driver = open({ address: `127.0.0.1:${socket.address().port}` }, [macAddress]);
  const first = once(socket, 'message');
  await driver.turn('On', never());
  await first;
  const expected = Buffer.concat([
    Buffer.alloc(6, 0xff),
    ...Array<Buffer>(16).fill(Buffer.from('525400abcdef', 'hex')),
  ]);
  assert.ok(heard.length > 0 && heard.every((packet) => packet.equals(expected)));
});

test('the port that is named is woken, not the first one of the machine', async (t) => {
  const socket = await listen(t);
  const driver = open({ address: `127.0.0.1:${socket.address().port}`, macAddress: '02:00:00:00:00:09' }, [
    macAddress,
  ]);
  const first = once(socket, 'message');
  await driver.turn('On', never());
  const [packet] = (await first) as [Buffer];
  assert.equal(packet.subarray(6, 12).toString('hex'), '020000000009');
});

test('it can do nothing else, and says what to do instead', async () => {
  const driver = open({}, [macAddress]);
  assert.equal(await driver.state(), 'Unknown');
  await assert.rejects(driver.turn('Off', never()), { reason: 'Unsupported', message: /at its button/ });
  await assert.rejects(driver.setBoot(), { reason: 'Unsupported', message: /network boot first/ });
  assert.deepEqual(driver.abilities, { readsState: false, turnsOn: true, turnsOff: false, setsBoot: false });
});

test('an order without a port to wake, or with an address that is none, is refused', () => {
  assert.throws(() => open({}, []), { reason: 'Invalid', message: /macAddress/ });
  for (const address of ['bmc.example', '10.0.0.300', '10.0.0.255:0', '10.0.0.255:x'])
    assert.throws(() => open({ address }, [macAddress]), { reason: 'Invalid' }, address);
  for (const address of ['10.0.0.255', '10.0.0.255:7', ':7'])
    assert.doesNotThrow(() => open({ address }, [macAddress]), address);
});

function open(bmc: Partial<BmcOrder>, macAddresses: readonly string[]): WakeOnLanDriver {
  return new WakeOnLanDriver({
    bmc: { type: 'WakeOnLAN', ...bmc },
    login: {},
    macAddresses,
    broadcasts: ['127.255.255.255'],
    clock: new HastyClock(),
    logger: listLogger([]),
  });
}

async function listen(t: TestContext): Promise<Socket> {
  const socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  t.after(() => socket.close());
  return socket;
}
