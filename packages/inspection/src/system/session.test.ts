import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { requireTool } from '@selvedge/testkit';
import { startTrial } from '../testing/start-trial.ts';
import { TestRack } from '../testing/test-rack.ts';
import { TrialBox } from '../testing/trial-box.ts';

const needs = requireTool('busybox');

test(
  'a box proves itself with its nonce and all its ports, then sends its inventory before the first task',
  needs,
  async (t) => {
    const rack = await TestRack.start();
    const box = new TrialBox({
      'sys/class/net/eth0/address': '52:54:00:00:00:01\n',
      'sys/class/net/eth0/device/vendor': '0x1af4\n',
      'sys/class/net/eth1/address': '52:54:00:00:00:02\n',
      'sys/class/net/eth1/device/vendor': '0x1af4\n',
      'sys/class/net/lo/address': '00:00:00:00:00:00\n',
      'sys/class/dmi/id/product_uuid': '6C1B7F3E-1111-4222-8333-944455556666\n',
      'sys/class/dmi/id/product_serial': 'Serial "7" of Acme\n',
    });
    t.after(async () => {
      await box.close();
      await rack.close();
    });
    box.boot(rack);
    const answer = await rack.give({ task: 'collect' });
    assert.equal(answer.status, 'ok');
    assert.deepEqual(rack.sessions, [
      `nonce ${rack.nonce}\nmac 52:54:00:00:00:01\nmac 52:54:00:00:00:02\nuuid 6C1B7F3E-1111-4222-8333-944455556666\nserial Serial "7" of Acme\n`,
    ]);
    const kinds = rack.requests.map((request) => request.split('/')[3]);
    assert.deepEqual(kinds.slice(0, 3), ['session', 'inventory', 'task']);
    assert.equal(rack.inventories[0]?.resources.system.serial, 'Serial "7" of Acme');
  },
);

test('a box whose nonce is refused, or whose session the rack forgot, boots again', needs, async (t) => {
  const { rack, box } = await startTrial(t);
  assert.equal((await rack.give({ task: 'collect' })).status, 'ok');
  rack.forgetSession();
  assert.equal(await box.ended(), 'reboot');
  await box.unplug();
  box.boot({ port: rack.port, nonce: 'used' });
  assert.equal(await box.ended(), 'reboot');
});

test('a rack that is away for a while is waited for, and then the task is done', needs, async (t) => {
  const { rack, box } = await startTrial(t);
  assert.equal((await rack.give({ task: 'collect' })).status, 'ok');
  rack.refusal = 503;
  const answer = rack.give({ task: 'poweroff' });
  const seen = rack.requests.length;
  while (rack.requests.length < seen + 3) await delay(50, undefined, { signal: t.signal });
  rack.refusal = undefined;
  assert.equal((await answer).status, 'ok');
  assert.equal(await box.ended(), 'poweroff');
  assert.match(rack.log, /the box switches off/, 'its last words came');
});

test('what a box is made of is told once as it starts, and anew after it did something', needs, async (t) => {
  const { rack } = await startTrial(t);
  assert.equal((await rack.give({ task: 'collect' })).status, 'ok');
  assert.equal(rack.inventories.length, 1);
  assert.equal((await rack.give({ task: 'collect' })).status, 'ok');
  assert.equal(rack.inventories.length, 2);
});

test('what happens on the box comes to the rack as its log', needs, async (t) => {
  const { rack } = await startTrial(t);
  await rack.give({ task: 'collect' });
  while (!rack.log.includes('task 1: collect')) await delay(50, undefined, { signal: t.signal });
  assert.match(rack.log, /the rack knows this box/);
});

test('what a sender of the log did not get to tell before it was ended is told first', needs, async (t) => {
  const rack = await TestRack.start();
  const box = new TrialBox();
  t.after(async () => {
    await box.close();
    await rack.close();
  });
  writeFileSync(join(box.state, 'log.sending'), 'half told\n');
  box.boot(rack);
  while (!rack.log.includes('the rack knows this box')) await delay(50, undefined, { signal: t.signal });
  assert.equal(rack.log.indexOf('half told\n'), 0);
  while (existsSync(join(box.state, 'log.sending'))) await delay(20, undefined, { signal: t.signal });
});
