import assert from 'node:assert/strict';
import { get } from 'node:http';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { eventually } from '../testing/test-agent.ts';
import { MachineStore } from './life/machine-store.ts';
import { sampleMac, sampleMachine, sampleUuid } from './life/testing/sample-order.ts';
import { TestRack } from './testing/test-rack.ts';

const { uid } = sampleMachine();
const provision = { image: 'tiny', hostname: 'web-1', instanceId: 'one' };
const metadata = {
  name: 'secret',
  type: 'Testing' as const,
  hardwareType: 'Node' as const,
  parallel: 'Disabled' as const,
  tags: [],
  timeoutSeconds: 60,
  forHardware: [],
  mayReboot: false,
};
const quick = { powerPollSeconds: 1, retrySeconds: 0.1 };

/** Somebody asks the rack what to boot, from this address. */
function askFrom(rack: TestRack, localAddress: string, question: Readonly<Record<string, string>>) {
  const query = new URLSearchParams({ platform: 'pcbios', arch: 'x86_64', ...question });
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; text: string }>();
  get(`${rack.url}/ipxe/decide?${query.toString()}`, { localAddress }, (answer) => {
    let text = '';
    answer.setEncoding('utf8').on('data', (piece: string) => (text += piece));
    answer.on('end', () => resolve({ status: answer.statusCode ?? 0, text }));
  }).once('error', reject);
  return promise;
}

/** Its inspection system runs, at 127.0.0.1. */
async function runningBox(t: Parameters<typeof TestRack.start>[0]) {
  const rack = await TestRack.start(t, quick);
  rack.want({ machines: [sampleMachine({ identity: { macAddresses: [sampleMac], uuid: sampleUuid } })] });
  const box = rack.box({ mac: sampleMac, uuid: sampleUuid });
  const { nonce } = await box.askWhatToBoot();
  assert.equal(await box.openSession(nonce), 200);
  return { rack, box };
}

describe('who asks what to boot', () => {
  it('is refused in the name of a machine when another MAC address answers there; its session goes on', async (t) => {
    const { rack, box } = await runningBox(t);
    rack.wire.set('127.0.0.2', ['52:54:00:00:00:99']);
    const question = { mac: sampleMac, uuid: '11111111-2222-4333-8444-555555555555' };
    for (const one of [
      question,
      { mac: sampleMac },
      { ...question, mac: '52:54:00:00:00:98', uuid: sampleUuid },
    ]) {
      const { status } = await askFrom(rack, '127.0.0.2', one);
      assert.equal(status, 404, JSON.stringify(one));
    }
    assert.equal((await box.task())?.name, 'collect');
    const { conflict, timeline } = rack.record(uid);
    assert.equal(conflict, undefined);
    const moments = timeline.filter(({ reason }) => reason === 'BootRefused');
    assert.equal(moments.length, 1, 'noted once');
    assert.match(moments[0]?.message ?? '', /127\.0\.0\.2 .*52:54:00:00:00:99/);
  });

  it('is the machine when its MAC address answers there, also by another of its ports', async (t) => {
    const { rack } = await runningBox(t);
    rack.wire.set('127.0.0.2', [sampleMac]);
    assert.match((await askFrom(rack, '127.0.0.2', { mac: sampleMac })).text, /selvedge\.boot=/);
    rack.want({
      machines: [sampleMachine({ identity: { macAddresses: [sampleMac, '52:54:00:00:00:02'] } })],
    });
    rack.wire.set('127.0.0.2', ['52:54:00:00:00:02']);
    assert.match((await askFrom(rack, '127.0.0.2', { mac: sampleMac })).text, /selvedge\.boot=/);
  });

  it('waits, where nothing is known of its address, while the system of the machine runs elsewhere', async (t) => {
    const { rack, box } = await runningBox(t);
    const { status, text } = await askFrom(rack, '127.0.0.2', { mac: sampleMac, uuid: sampleUuid });
    assert.equal(status, 200);
    assert.doesNotMatch(text, /selvedge\.boot=/);
    assert.match(text, /sleep 10/);
    assert.equal((await box.task())?.name, 'collect');
  });

  it('is remembered as a new box only so often at an address that has another MAC address', async (t) => {
    const rack = await TestRack.start(t, quick);
    rack.wire.set('127.0.0.2', ['52:54:00:00:00:99']);
    const ask = (n: number) => askFrom(rack, '127.0.0.2', { mac: `52:54:00:00:01:${n}` });
    for (let n = 10; n < 30; n++) await ask(n);
    assert.equal(rack.core.keeper.all().length, 8);
    await askFrom(rack, '127.0.0.2', { mac: '52:54:00:00:00:99' });
    assert.equal(rack.core.keeper.all().length, 9);
  });

  it('shows the UUID of the machine, where nothing is known of its address', async (t) => {
    const rack = await TestRack.start(t, quick);
    rack.want({ machines: [sampleMachine({ identity: { macAddresses: [sampleMac], uuid: sampleUuid } })] });
    assert.equal((await askFrom(rack, '127.0.0.1', { mac: sampleMac })).status, 404);
    assert.match(
      (await askFrom(rack, '127.0.0.1', { mac: sampleMac, uuid: sampleUuid })).text,
      /selvedge\.boot=/,
    );
  });

  it('may show its nonce from another address only when its MAC address answers there: DHCP gave it a new one', async (t) => {
    const rack = await TestRack.start(t, quick);
    rack.want({ machines: [sampleMachine()] });
    const { text } = await askFrom(rack, '127.0.0.2', { mac: sampleMac, uuid: sampleUuid });
    const [, nonce = ''] = /selvedge\.boot=(\S+)/.exec(text) ?? [];
    const box = rack.box({ mac: sampleMac, uuid: sampleUuid });
    assert.equal(await box.openSession(nonce), 403);
    rack.wire.set('127.0.0.1', ['52:54:00:00:00:99']);
    assert.equal(await box.openSession(nonce), 403);
    rack.wire.set('127.0.0.1', [sampleMac]);
    assert.equal(await box.openSession(nonce), 200);
    assert.equal((await box.task())?.name, 'collect');
  });
});

describe('an order that changes while its system is at work', () => {
  it('ends what the system was told before, at its next word', async (t) => {
    const rack = await TestRack.start(t, quick);
    await rack.addImage(Buffer.alloc(1024, 1));
    rack.want({ machines: [sampleMachine({ provision })] });
    await eventually('the image is here', () => rack.core.keeper.find(uid)?.job?.stage === 'System');
    const box = rack.box({ mac: sampleMac });
    const task = await box.runSystem({ until: ({ name }) => name === 'write' });
    assert.equal(task?.name, 'write');
    assert.equal(await box.progress('Writing', 1, 100), 'continue');
    assert.equal(await box.progress('Erasing', 1, 100), 'abort');
    const [{ provision: _, ...bare } = sampleMachine()] = rack.order.machines;
    rack.want({ machines: [{ ...bare, generation: 9 }] });
    assert.equal(rack.record(uid).job?.task?.name, 'poweroff');
    assert.equal(await box.progress('Writing', 2, 100), 'abort');
  });
});

describe('the seed and scripts of a machine', () => {
  it('are given as long as they are needed, and their token is not kept', async (t) => {
    const rack = await TestRack.start(t, quick);
    await rack.addImage(Buffer.alloc(1024, 1));
    const script = { name: 'secret', digest: rack.addScript('#!/bin/sh\necho token'), metadata };
    rack.want({ machines: [sampleMachine({ provision })], scripts: [script] });
    await eventually('the image is here', () => rack.core.keeper.find(uid)?.job?.stage === 'System');
    const box = rack.box({ mac: sampleMac });
    const task = await box.runSystem({ until: ({ name }) => name === 'reboot' });
    const asked = await fetch(`${rack.url}/machine/v1/script/secret`, {
      headers: { authorization: `Bearer ${box.token}` },
    });
    assert.equal(asked.status, 404);
    const token = /confirm\/v1\/([^"]+)"/.exec(box.seed.get('vendor-data') ?? '')?.[1] ?? '';
    assert.notEqual(token, '');
    assert.ok(!JSON.stringify(rack.record(uid)).includes(token));
    if (task !== undefined) await box.answer(task);
    await box.askWhatToBoot();
    assert.equal(await box.phoneHome(), 200);
    assert.equal(rack.record(uid).phase, 'Provisioned');
  });
});

describe('two boxes with one UUID', () => {
  it('are in conflict when their inspection systems show other ports, also without serial numbers', async (t) => {
    const rack = await TestRack.start(t, quick);
    rack.want({ machines: [sampleMachine({ identity: { uuid: sampleUuid } })] });
    const one = rack.box({ mac: '52:54:00:00:00:01', uuid: sampleUuid });
    const other = rack.box({ mac: '52:54:00:00:00:02', uuid: sampleUuid });
    assert.equal(await one.openSession((await one.askWhatToBoot()).nonce), 200);
    assert.equal(await other.openSession((await other.askWhatToBoot()).nonce), 403);
    assert.match(rack.record(uid).conflict ?? '', /two boxes show the UUID/);
  });
});

describe('a disk of the rack that is full', () => {
  it('does not have a BMC asked again and again for what it has done', async (t) => {
    const rack = await TestRack.start(t, quick);
    rack.power.state = 'On';
    const put = t.mock.method(MachineStore.prototype, 'put');
    rack.power.onStart = () => {
      put.mock.mockImplementation(() => {
        throw Object.assign(new Error('database or disk is full'), { code: 'ERR_SQLITE_ERROR', errcode: 13 });
      });
    };
    rack.want({ machines: [sampleMachine({ bmc: { type: 'Redfish', address: 'https://bmc' } })] });
    const cycles = () => rack.power.calls.filter((call) => call === 'Cycle').length;
    await eventually('the BMC has acted', () => cycles() === 1);
    await delay(1000);
    assert.equal(cycles(), 1);
    put.mock.restore();
    await eventually('it is written down', () => rack.record(uid).wish === undefined);
    assert.equal(cycles(), 1);
  });
});
