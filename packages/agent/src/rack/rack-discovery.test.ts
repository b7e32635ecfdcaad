import assert from 'node:assert/strict';
import { it } from 'node:test';
import { sampleMac, sampleMachine } from './life/testing/sample-order.ts';
import { TestRack } from './testing/test-rack.ts';

const box = (number: number) => {
  const hex = number.toString(16).padStart(4, '0');
  return `02:00:00:00:${hex.slice(0, 2)}:${hex.slice(2)}`;
};

function ask(rack: TestRack, macAddress: string) {
  return rack.core.desk.bootRequested({
    macAddress,
    platform: 'UEFI',
    architecture: 'amd64',
    address: '10.0.0.9',
  });
}

it('boxes that are more than a rack remembers are counted for people to know, and take nothing from machines that are wanted', async (t) => {
  const rack = await TestRack.start(t);
  rack.want({ discovery: 'Record', machines: [sampleMachine()] });
  for (let number = 0; number < 200; number++) assert.equal((await ask(rack, box(number))).boot, 'Wait');
  assert.equal(rack.core.discoveryFull(), undefined);
  for (const number of [500, 501, 500]) assert.equal((await ask(rack, box(number))).boot, 'Disk');
  const full = rack.core.discoveryFull();
  assert.equal(full?.limit, 200);
  assert.equal(full?.turnedAway, 2);
  assert.ok(Date.parse(full?.lastSeenTime ?? '') > 0);
  // Those that are remembered, and those that are wanted, come as ever.
  assert.equal((await ask(rack, box(7))).boot, 'Wait');
  assert.equal((await ask(rack, sampleMac)).boot, 'System');
  // One that is accepted leaves its place to another.
  const accepted = sampleMachine({ uid: 'two', name: 'two', identity: { macAddresses: [box(7)] } });
  rack.want({ machines: [sampleMachine(), accepted] });
  assert.equal((await ask(rack, box(500))).boot, 'Wait');
});

it('boxes with made-up addresses beyond those of one address are not remembered, and no reason to say that there is no room', async (t) => {
  const rack = await TestRack.start(t);
  rack.want({ discovery: 'Record' });
  rack.wire.set('10.0.0.9', [box(1000)]);
  for (let number = 0; number < 12; number++) await ask(rack, box(number));
  const boxes = rack.core.keeper.all();
  assert.equal(boxes.length, 8);
  assert.equal(rack.core.discoveryFull(), undefined);
  assert.equal((await ask(rack, box(1000))).boot, 'Wait');
});
