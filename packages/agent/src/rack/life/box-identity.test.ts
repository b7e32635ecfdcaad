import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { cleanSigns, findImpostor, matchOrders, meaningfulMac, meaningfulUuid } from './box-identity.ts';
import { newRecord } from './machine-record.ts';
import { sampleMac, sampleMachine, sampleUuid } from './testing/sample-order.ts';

const other = '52:54:00:00:00:02';
const otherUuid = '4c4c4544-0035-5310-8052-b4c04f4a9999';
const seen = (parts: object) => ({ ...newRecord('key', '2026-01-01T00:00:00.000Z'), seen: parts });

describe('who a box is', () => {
  it('reads addresses and UUIDs as firmwares write them, and none that many boxes have', () => {
    assert.equal(meaningfulMac('52-54-00-AA-BB-CC'), '52:54:00:aa:bb:cc');
    assert.equal(meaningfulMac('ff:ff:ff:ff:ff:ff'), undefined);
    assert.equal(meaningfulMac('52:54:00'), undefined);
    assert.equal(meaningfulUuid(sampleUuid.toUpperCase()), sampleUuid);
    assert.equal(meaningfulUuid('ffffffff-ffff-ffff-ffff-ffffffffffff'), undefined);
    assert.equal(meaningfulUuid('03000200-0400-0500-0006-000700080009'), undefined);
    const signs = cleanSigns({ macAddresses: [sampleMac, sampleMac, 'x'], serial: 'Default string' });
    assert.deepEqual(signs, { macAddresses: [sampleMac], uuid: undefined, serial: undefined });
  });

  it('knows it by any port or the UUID', () => {
    const byMac = sampleMachine({ identity: { macAddresses: [other, sampleMac] } });
    assert.deepEqual(matchOrders([byMac], { macAddresses: [sampleMac] }), { kind: 'One', uid: byMac.uid });
    const byUuid = sampleMachine({ identity: { uuid: sampleUuid } });
    const signs = { macAddresses: [other], uuid: sampleUuid };
    assert.deepEqual(matchOrders([byUuid], signs), { kind: 'One', uid: byUuid.uid });
    assert.deepEqual(matchOrders([byUuid], { macAddresses: [other] }), { kind: 'None' });
  });

  it('knows it by a serial number only when that is all there is, and nobody else has it', () => {
    const bySerial = sampleMachine({ identity: { serials: ['S1'] } });
    const twin = sampleMachine({ uid: 'u2', name: 'm2', identity: { serials: ['S1'] } });
    const signs = { macAddresses: [other], serial: 'S1' };
    assert.equal(matchOrders([bySerial], signs).kind, 'One');
    assert.equal(matchOrders([bySerial, twin], signs).kind, 'None');
    const known = sampleMachine({ identity: { serials: ['S1'], macAddresses: [sampleMac] } });
    assert.equal(matchOrders([known], signs).kind, 'None');
  });

  it('says so when it fits two machines, or is another box than the order says', () => {
    const one = sampleMachine();
    const two = sampleMachine({ uid: 'u2', name: 'm2', identity: { uuid: sampleUuid } });
    const both = matchOrders([one, two], { macAddresses: [sampleMac], uuid: sampleUuid });
    assert.deepEqual(both.kind === 'Conflict' && both.uids, [one.uid, 'u2']);
    const strict = sampleMachine({ identity: { macAddresses: [sampleMac], uuid: sampleUuid } });
    assert.equal(matchOrders([strict], { macAddresses: [sampleMac], uuid: otherUuid }).kind, 'Conflict');
  });

  it('tells two boxes with one address or one UUID from one box with two ports', () => {
    const record = seen({ macAddresses: [sampleMac], uuid: sampleUuid, serials: ['S1'] });
    const same = { macAddresses: [sampleMac], uuid: sampleUuid, serial: 'S1' };
    assert.equal(findImpostor(record, undefined, same), undefined);
    assert.equal(findImpostor(record, undefined, { ...same, macAddresses: [other] }), undefined);
    assert.match(findImpostor(record, undefined, { ...same, uuid: otherUuid }) ?? '', /MAC address/);
    const twin = { macAddresses: [other], uuid: sampleUuid, serial: 'S2' };
    assert.match(findImpostor(record, undefined, twin) ?? '', /UUID/);
    // A board was changed, and a person said so.
    const identity = { macAddresses: [sampleMac], uuid: otherUuid };
    assert.equal(findImpostor(record, identity, { ...same, uuid: otherUuid }), undefined);
    assert.equal(findImpostor(record, { macAddresses: [other] }, twin), undefined);
  });
});
