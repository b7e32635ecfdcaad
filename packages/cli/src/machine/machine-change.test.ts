import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Machine } from '@selvedge/api';
import { type MachineWish, planChange } from './machine-change.ts';
import { failedMachine, sampleMachine, sampleNow, writingMachine } from './testing/sample-machines.ts';

const plan = (wish: MachineWish, machine: Machine) => planChange(wish, machine, sampleNow);
const specOf = (wish: MachineWish, machine: Machine) =>
  (plan(wish, machine).patch as { spec?: Record<string, unknown> } | undefined)?.spec;
const provisionOf = (wish: MachineWish, machine: Machine): Record<string, unknown> => {
  const provision = specOf(wish, machine)?.['provision'];
  assert.ok(provision);
  return provision as Record<string, unknown>;
};
const debian = { verb: 'provision', provision: { image: 'debian-12' } } as const;
const onDisk = {
  image: 'debian-11',
  digest: 'sha256:1',
  instanceId: 'one',
  device: 'sda',
  writtenTime: '2026-01-01T00:00:00Z',
};

describe('what a wish writes', () => {
  test('accepting inspects; accepting twice writes nothing', () => {
    const found = sampleMachine({ accepted: false });
    const labels = { row: '3' };
    assert.deepEqual(plan({ verb: 'accept', displayName: 'till', labels }, found).patch, {
      metadata: { labels },
      spec: { accepted: true, displayName: 'till' },
    });
    assert.equal(plan({ verb: 'accept' }, sampleMachine()).patch, undefined);
  });

  test('provisioning replaces all of what was wanted before', () => {
    const spec = specOf(debian, sampleMachine());
    const { instanceId, ...rest } = provisionOf(debian, sampleMachine());
    assert.match(String(instanceId), /^debian-12-\d+$/);
    const absent = { hostname: null, userData: null, networkConfig: null, rootDevice: null };
    assert.deepEqual(rest, { ...absent, image: 'debian-12' });
    assert.equal(spec?.['wipeConsent'], null);
    const withText = provisionOf(
      { verb: 'provision', provision: { image: 'a', userData: { text: 'x' } } },
      sampleMachine(),
    );
    assert.deepEqual(withText['userData'], {
      text: 'x',
      secretRef: null,
    });
  });

  test('the same image again keeps its instance, unless it is to be written anew', () => {
    const spec = { provision: { image: 'debian-12', instanceId: 'one' } };
    const machine = sampleMachine(spec, {
      phase: 'Provisioned',
      provisioned: { ...onDisk, image: 'debian-12' },
      disks: 'Data',
    });
    assert.equal(provisionOf(debian, machine)['instanceId'], 'one');
    assert.match(plan(debian, machine).done, /already.*--again/);
    assert.throws(() => plan({ ...debian, again: true }, machine), /would be written over/);
    const again = specOf({ ...debian, again: true, wipe: 'rack-7' }, machine);
    assert.notEqual(provisionOf({ ...debian, again: true, wipe: 'rack-7' }, machine)['instanceId'], 'one');
    assert.equal(again?.['wipeConsent'], 'rack-7');
  });

  test('data is written over only when the machine is named', () => {
    assert.throws(() => plan(debian, failedMachine), /disks hold data/);
    assert.throws(
      () => plan({ ...debian, wipe: 'rack-8' }, failedMachine),
      /--wipe names rack-8, and this is rack-7/,
    );
    assert.equal(specOf({ ...debian, wipe: 'rack-7' }, failedMachine)?.['wipeConsent'], 'rack-7');
    const used = sampleMachine({ wipeConsent: 'rack-7' }, { provisioned: onDisk, disks: 'Data' });
    assert.throws(() => plan(debian, used), /debian-11 is on it/, 'a consent of earlier is not one for now');
  });

  test('what may not be touched is not provisioned', () => {
    const cases: [Partial<Machine['spec']>, RegExp][] = [
      [{ protected: true }, /protected/],
      [{ accepted: false }, /not accepted/],
      [{ broken: { reason: 'fan' } }, /broken: fan/],
      [{ externallyProvisioned: true }, /did not install/],
      [{ consumer: { kind: 'MachineClaim', name: 'web' } }, /belongs to claim web/],
    ];
    for (const [spec, why] of cases) assert.throws(() => plan(debian, sampleMachine(spec)), why);
  });

  test('releasing takes image and owner away; an erase needs the name', () => {
    const machine = sampleMachine(
      { provision: { image: 'debian-12' }, wipeConsent: 'rack-7' },
      { provisioned: onDisk },
    );
    const gone = { provision: null, consumer: null, externallyProvisioned: null };
    assert.deepEqual(specOf({ verb: 'release', erase: 'none' }, machine), {
      ...gone,
      release: { erase: 'None' },
      wipeConsent: null,
    });
    assert.throws(() => plan({ verb: 'release', erase: 'quick' }, machine), /an erase destroys/);
    assert.deepEqual(specOf({ verb: 'release', erase: 'secure', wipe: 'rack-7' }, machine), {
      ...gone,
      release: { erase: 'Secure' },
      wipeConsent: 'rack-7',
    });
    assert.throws(
      () => plan({ verb: 'release', erase: 'none' }, sampleMachine({ protected: true })),
      /protected/,
    );
  });

  test('an erase of a machine that nobody has is refused: it would only seem to be done', () => {
    const erase = { verb: 'release', erase: 'quick', wipe: 'rack-7' } as const;
    const status = { phase: 'Available', disks: 'Data' } as const;
    assert.throws(() => plan(erase, sampleMachine({}, status)), /nobody has it: only what is given back/);
    const claimed = { consumer: { kind: 'MachineClaim', name: 'db' } } as const;
    assert.ok(specOf(erase, sampleMachine(claimed, { ...status, phase: 'Allocated' })));
    assert.ok(specOf(erase, sampleMachine({}, { ...status, phase: 'Provisioned' })));
    assert.ok(specOf({ verb: 'release', erase: 'none' }, sampleMachine({}, status)));
  });

  test('a request of the same moment, or of a clock that went back, is a newer one', () => {
    const before = '2027-01-01T00:00:00.000Z';
    const spec = specOf({ verb: 'reboot' }, sampleMachine({ requests: { rebootTime: before } }));
    assert.deepEqual(spec, { requests: { rebootTime: '2027-01-01T00:00:00.001Z' } });
  });

  test('a machine that runs somebody’s system is not inspected', () => {
    assert.throws(
      () => plan({ verb: 'inspect' }, sampleMachine({}, { phase: 'Provisioned' })),
      /another system/,
    );
    const spec = specOf({ verb: 'inspect', tests: ['memory'] }, sampleMachine());
    assert.deepEqual(spec, {
      requests: { inspectTime: sampleNow.toISOString() },
      inspection: { tests: ['memory'] },
    });
  });

  test('power, rescue, marks and protection are one field each', () => {
    const machine = sampleMachine();
    assert.deepEqual(specOf({ verb: 'power', power: 'off' }, machine), { power: 'Off' });
    assert.deepEqual(specOf({ verb: 'power', power: 'auto' }, machine), { power: null });
    assert.deepEqual(specOf({ verb: 'rescue', keys: ['ssh-ed25519 A'] }, machine), {
      rescue: { authorizedKeys: ['ssh-ed25519 A'] },
    });
    assert.deepEqual(specOf({ verb: 'end-rescue' }, machine), { rescue: null });
    assert.deepEqual(specOf({ verb: 'mark-broken', reason: 'fan' }, machine), { broken: { reason: 'fan' } });
    assert.equal(specOf({ verb: 'mark-fixed' }, machine), undefined);
    assert.deepEqual(specOf({ verb: 'protect' }, machine), { protected: true });
    assert.equal(specOf({ verb: 'unprotect' }, machine), undefined);
    assert.throws(
      () => plan({ verb: 'power', power: 'off' }, sampleMachine({ protected: true })),
      /protected/,
    );
    assert.throws(() => plan({ verb: 'retry' }, machine), /nothing has failed/);
    assert.ok(specOf({ verb: 'retry' }, failedMachine));
  });

  test('while the rack is at work on it, switching it waits, and that is said', () => {
    assert.match(plan({ verb: 'reboot' }, writingMachine).next ?? '', /It is Provisioning: that comes first/);
    assert.match(plan({ verb: 'power', power: 'off' }, writingMachine).next ?? '', /that comes first/);
    assert.equal(plan({ verb: 'reboot' }, sampleMachine()).next, undefined);
  });

  test('it says when the machine is where it was to go', () => {
    const { isThere } = plan(debian, sampleMachine());
    assert.equal(isThere(writingMachine), false);
    const instanceId = String(provisionOf(debian, sampleMachine())['instanceId']);
    const done = sampleMachine(
      {},
      { phase: 'Provisioned', provisioned: { ...onDisk, image: 'debian-12', instanceId } },
    );
    assert.equal(isThere(done), true);
  });
});
