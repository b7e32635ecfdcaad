import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import type { Logger } from '@selvedge/api';
import { FakeClock } from '@selvedge/testkit';
import { OtherServers } from './other-servers.ts';

const minute = 60_000;

describe('the look-out for other DHCP servers', () => {
  let clock: FakeClock;
  /** Addresses that answer, or an error; and who was asked when. */
  let answering: readonly string[] | Error;
  let asked: string[];
  let warnings: string[];
  let others: OtherServers;

  beforeEach(() => {
    clock = new FakeClock();
    answering = [];
    asked = [];
    warnings = [];
    const warn = (message: string) => void warnings.push(message);
    const logger: Logger = { debug: () => {}, info: () => {}, warn, error: warn, child: () => logger };
    others = new OtherServers({
      clock,
      logger,
      onChange: () => {},
      probe: (address) => {
        asked.push(address);
        if (answering instanceof Error) return Promise.reject(answering);
        return Promise.resolve(answering.map((one) => ({ address: one })));
      },
    });
  });
  afterEach(() => others.close());

  test('looks at once, then every five minutes or so', async () => {
    others.setNetworks([{ name: 'prov', address: '10.10.0.1' }]);
    answering = ['192.168.1.1'];
    await clock.advance(2000);
    assert.deepEqual(asked, ['10.10.0.1']);
    assert.deepEqual(others.of('prov'), [
      { address: '192.168.1.1', lastSeenTime: '2026-01-01T00:00:00.000Z' },
    ]);
    await clock.advance(11 * minute);
    assert.equal(asked.length, 3);
    assert.equal(warnings.length, 1, 'one server is news once');
  });

  test('looks soon after a box took another server', async () => {
    answering = ['192.168.1.1'];
    others.setNetworks([{ name: 'prov', address: '10.10.0.1' }]);
    await clock.advance(2000);
    others.lookSoon('prov');
    others.lookSoon('elsewhere');
    await clock.advance(12_000);
    assert.equal(asked.length, 2);
  });

  test('forgets a server that was not heard of for half an hour', async () => {
    answering = ['192.168.1.1'];
    others.setNetworks([{ name: 'prov', address: '10.10.0.1' }]);
    await clock.advance(2000);
    answering = [];
    await clock.advance(20 * minute);
    assert.equal(others.of('prov').length, 1);
    await clock.advance(15 * minute);
    assert.deepEqual(others.of('prov'), []);
  });

  test('says that nobody answers only when it has looked twice', async () => {
    others.setNetworks([{ name: 'prov', address: '10.10.0.1' }]);
    await clock.advance(2000);
    assert.equal(others.isSilent('prov'), false);
    await clock.advance(15_000);
    assert.equal(others.isSilent('prov'), true);
    answering = ['10.10.0.2'];
    await clock.advance(6 * minute);
    assert.equal(others.isSilent('prov'), false);
  });

  test('goes on when it cannot look, and complains once', async () => {
    answering = new Error('port 68 belongs to another program');
    others.setNetworks([{ name: 'prov', address: '10.10.0.1' }]);
    await clock.advance(20 * minute);
    assert.ok(asked.length >= 3);
    assert.equal(warnings.length, 1);
    assert.equal(others.isSilent('prov'), false, 'not to know is not to hear nobody');
  });
});
