import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isObject } from '@selvedge/api';
import { ModelMachine, startRedfishEmulator } from '@selvedge/machine-lab';
import { loopbackCertificate } from '@selvedge/testkit';
import { listLogger, never, startTestBmc, testLogin } from '../testing/test-bmc.ts';
import { PowerError } from '../power-driver.ts';
import { RedfishDriver } from './redfish-driver.ts';

const network = { target: 'Network', mode: 'UEFI', isOnce: true } as const;

test('a machine is turned on, read, restarted and turned off', async (t) => {
  const { driver, machine, emulator } = await startTestBmc(t);
  assert.equal(await driver.state(never()), 'Off');
  await driver.turn('On', never());
  assert.equal(await driver.state(never()), 'On');
  await driver.turn('Cycle', never());
  await driver.turn('GracefulOff', never());
  assert.equal(await driver.state(never()), 'Off');
  await driver.turn('Cycle', never());
  await driver.turn('Off', never());
  assert.equal(machine.isOn(), false);
  assert.deepEqual(machine.boots, ['Default', 'Default', 'Default']);
  assert.equal(emulator.openSessions, 0);
});

test('what is to be booted is set for one start, or for all, and read back', async (t) => {
  const { driver, machine } = await startTestBmc(t);
  assert.deepEqual(await driver.setBoot(network, never()), network);
  await driver.turn('Cycle', never());
  await driver.turn('Cycle', never());
  const always = { target: 'HTTP', mode: 'UEFI', isOnce: false } as const;
  assert.deepEqual(await driver.setBoot(always, never()), always);
  await driver.turn('Cycle', never());
  await driver.turn('Cycle', never());
  assert.deepEqual(await driver.setBoot({ target: 'Disk', mode: 'BIOS', isOnce: true }, never()), {
    target: 'Disk',
    mode: 'BIOS',
    isOnce: true,
  });
  await driver.turn('Cycle', never());
  assert.deepEqual(machine.boots, ['Network', 'Default', 'HTTP', 'HTTP', 'Disk']);
});

test('a machine says who it is', async (t) => {
  const { driver, machine } = await startTestBmc(t, { manufacturer: 'Supermicro', firmware: '01.02.03' });
  const { quirks, ...identity } = await driver.identify(never());
  const { uuid, serial, manufacturer, model } = machine.identity;
  assert.deepEqual(identity, { uuid, serial, manufacturer, model, firmware: '01.02.03' });
  assert.ok(quirks.includes('FullBootRequest'));
});

test('a wrong password is told, and not tried again for five minutes: BMCs lock accounts', async (t) => {
  const { open, emulator, clock } = await startTestBmc(t);
  const driver = open({ login: { username: 'root', password: 'wrong' } });
  const isRefused = (error: unknown) =>
    error instanceof PowerError && error.reason === 'Unauthorized' && /secretRef/.test(error.message);
  await assert.rejects(driver.state(never()), isRefused);
  const calls = emulator.calls.length;
  await assert.rejects(driver.state(never()), {
    reason: 'Unauthorized',
    message: /secretRef.*not tried again before 2026-/,
  });
  assert.equal(emulator.calls.length, calls);
  // Another login is another matter.
  assert.equal(await open().state(never()), 'Off');
  await clock.sleep(301_000);
  await assert.rejects(driver.state(never()), isRefused);
  assert.ok(emulator.calls.filter(({ status }) => status === 401).length === 2);
});

test('the password is in no log and in no error', async (t) => {
  const { driver, emulator, log, open } = await startTestBmc(t, {
    quirks: ['EtagRequired', 'NoSessions', 'BootOverrideReverts'],
  });
  const said: string[] = [];
  const listen = (error: Error) => void said.push(String(error), String(error.cause), JSON.stringify(error));
  await driver.setBoot(network, never()).catch(listen);
  await open({ login: { ...testLogin, username: 'nobody' } })
    .state(never())
    .catch(listen);
  emulator.fault = { kind: 'Reset' };
  await driver.state(never()).catch(listen);
  const all = [...said, ...log].join('\n');
  assert.ok(said.length >= 9 && log.length > 0);
  assert.ok(!all.includes(testLogin.password));
  assert.ok(!all.includes(Buffer.from(`root:${testLogin.password}`).toString('base64')));
});

test('a BMC that hangs, cuts, sends pages for people or endless answers is Unavailable, and used again once it is well', async (t) => {
  const { driver, emulator } = await startTestBmc(t, { timeoutMs: 500 });
  /** This machine may stand still for longer than the driver waits for one answer: then it is asked again. */
  const state = async () => {
    for (let tries = 0; tries < 20; tries += 1) {
      try {
        return await driver.state(never());
      } catch (error) {
        assert.match(String(error), /did not answer within/);
      }
    }
    return assert.fail('it never answered');
  };
  for (const fault of [
    { kind: 'Hang' },
    { kind: 'Reset' },
    { kind: 'Garbage' },
    { kind: 'Endless' },
    { kind: 'Status', status: 503 },
  ] as const) {
    emulator.fault = fault;
    await assert.rejects(
      driver.state(never()),
      (error: unknown) => error instanceof PowerError && error.isPassing && error.reason === 'Unavailable',
      fault.kind,
    );
    emulator.fault = undefined;
    assert.equal(await state(), 'Off', fault.kind);
  }
  emulator.fault = { kind: 'Slow', milliseconds: 20_000 };
  assert.equal(await state(), 'Off');
});

test('a BMC that always reads On, of a machine that is off: it is turned off and on all the same', async (t) => {
  const { driver, machine } = await startTestBmc(t, { quirks: ['PowerStateStuck'] });
  await machine.turnOn('Default');
  assert.equal(await driver.state(never()), 'On');
  await machine.turnOff({ isGraceful: false });
  await driver.turn('Cycle', never());
  assert.equal(machine.isOn(), false, 'it takes a restart, and nothing comes of it');
  await driver.turn('ForcedCycle', never());
  assert.deepEqual(machine.boots, ['Default', 'Default']);
});

const isTurnOn = ({ body }: { body: unknown }) => isObject(body) && body['ResetType'] === 'On';

for (const status of [400, 409]) {
  test(`a BMC that always reads On and refuses with ${status} to turn on what is on: power is cut and comes back`, async (t) => {
    const { driver, emulator, machine } = await startTestBmc(t, { quirks: ['PowerStateStuck'] });
    await machine.turnOn('Default');
    assert.equal(await driver.state(never()), 'On');
    emulator.fault = { kind: 'Status', status, when: isTurnOn };
    await driver.turn('ForcedCycle', never());
    assert.equal(machine.isOn(), true);
    assert.deepEqual(machine.boots, ['Default', 'Default']);
  });

  test(`the same with ${status} where it knows no other way: the machine is off, and nobody is told that it is done`, async (t) => {
    const quirks = ['PowerStateStuck', 'FewResetTypes'] as const;
    const { driver, emulator, machine } = await startTestBmc(t, { quirks });
    await machine.turnOn('Default');
    assert.equal(await driver.state(never()), 'On');
    emulator.fault = { kind: 'Status', status, when: isTurnOn };
    await assert.rejects(driver.turn('ForcedCycle', never()), {
      isPassing: status === 409,
      message: /turned the machine off.*refused to turn it on again.*power button/,
    });
    assert.equal(machine.isOn(), false);
    emulator.fault = undefined;
    await driver.turn('ForcedCycle', never());
    assert.equal(machine.isOn(), true, 'asked again it is turned on');
  });
}

test('a BMC that always reads On and loses the call to turn on: that is not taken for done', async (t) => {
  const { driver, emulator, machine } = await startTestBmc(t, { quirks: ['PowerStateStuck'] });
  await machine.turnOn('Default');
  assert.equal(await driver.state(never()), 'On');
  emulator.fault = { kind: 'Reset', when: isTurnOn };
  await assert.rejects(driver.turn('ForcedCycle', never()), { reason: 'Unavailable', isPassing: true });
  emulator.fault = undefined;
  await driver.turn('ForcedCycle', never());
  assert.equal(machine.isOn(), true);
});

test('one that cannot be turned off by force is restarted', async (t) => {
  const { driver, emulator, machine } = await startTestBmc(t);
  await driver.turn('On', never());
  emulator.fault = { kind: 'Status', status: 400, when: ({ body }) => /ForceOff/.test(JSON.stringify(body)) };
  await driver.turn('ForcedCycle', never());
  assert.deepEqual(machine.boots, ['Default', 'Default']);
});

test('a connection that is cut after the machine was turned on: it is found to be on, and not turned on twice', async (t) => {
  const { driver, emulator, machine } = await startTestBmc(t);
  emulator.fault = { kind: 'CutAfter', when: ({ path }) => path.endsWith('ComputerSystem.Reset') };
  await driver.turn('On', never());
  await driver.turn('Off', never());
  assert.deepEqual(machine.boots, ['Default']);
  assert.equal(machine.isOn(), false);
  emulator.fault = { kind: 'CutAfter', when: ({ method }) => method === 'PATCH' };
  await assert.rejects(driver.setBoot(network, never()), { reason: 'Unavailable', isPassing: true });
  emulator.fault = undefined;
  assert.deepEqual(await driver.setBoot(network, never()), network);
});

test('a session that ends in the middle of a visit is opened anew', async (t) => {
  const { driver, emulator, machine } = await startTestBmc(t);
  for (const calls of [1, 2, 3]) {
    emulator.fault = { kind: 'ShortSessions', calls };
    assert.deepEqual(await driver.setBoot(network, never()), network);
    await driver.turn('Cycle', never());
  }
  assert.deepEqual(machine.boots, ['Network', 'Network', 'Network']);
  assert.ok(emulator.calls.some(({ status }) => status === 401));
  assert.equal(
    emulator.calls.filter(({ path, status }) => path.endsWith('Sessions') && status >= 400).length,
    0,
  );
});

test('a request that fails inside the BMC each time is given up in time for the next way', async (t) => {
  const { driver, emulator, machine, clock } = await startTestBmc(t);
  for (const status of [500, 503]) {
    const isFull = (body: unknown) => /Target.*Mode|Mode.*Target/.test(JSON.stringify(body));
    emulator.fault = { kind: 'Status', status, when: ({ body }) => isFull(body) };
    const before = clock.now().getTime();
    assert.equal((await driver.setBoot(network, never())).target, 'Network');
    const seconds = (clock.now().getTime() - before) / 1_000;
    assert.ok(seconds < (status === 500 ? 60 : 300), `${seconds} s`);
    await driver.turn('Cycle', never());
  }
  assert.deepEqual(machine.boots, ['Network', 'Network']);
});

test('a BMC that is busy for good with one way to restart takes another one, and is not asked for ever', async (t) => {
  const { driver, emulator, machine, clock } = await startTestBmc(t);
  await driver.turn('On', never());
  const isRestart = (body: unknown) => /ForceRestart|PowerCycle/.test(JSON.stringify(body));
  emulator.fault = { kind: 'Status', status: 409, when: ({ body }) => isRestart(body) };
  const before = clock.now().getTime();
  await driver.turn('Cycle', never());
  assert.deepEqual(machine.boots, ['Default', 'Default']);
  assert.ok(clock.now().getTime() - before < 300_000);
});

test('what is given up ends at once, and its session too', async (t) => {
  const { driver, emulator } = await startTestBmc(t, { quirks: ['BusyDuringPost'] });
  await driver.turn('On', never());
  emulator.fault = { kind: 'Hang' };
  const controller = new AbortController();
  const asked = driver.state(controller.signal);
  setImmediate(() => controller.abort());
  await assert.rejects(asked, { name: 'AbortError' });
  emulator.fault = undefined;
  assert.equal(await driver.state(never()), 'On');
  assert.equal(emulator.openSessions, 0);
});

test('an address that is none is refused before anything is called', async (t) => {
  const { open } = await startTestBmc(t);
  for (const address of [
    '',
    'ftp://bmc',
    'https://user:secret@bmc',
    'https://bmc/some/page',
    'https://bmc/redfish/v1/Systems/1/Bios',
  ])
    assert.throws(() => open({ bmc: { address } }), { reason: 'Invalid' }, address);
  for (const address of [
    'bmc',
    'bmc:8443',
    '10.0.0.1',
    'https://[fd00::1]',
    'https://bmc/redfish/v1/',
    'https://bmc/redfish/v1/Systems/Self',
  ])
    assert.doesNotThrow(() => open({ bmc: { address } }), address);
});

test('several systems behind one BMC: the address names one, else the error lists them', async (t) => {
  const { clock, queues } = await startTestBmc(t);
  const machines = [new ModelMachine({ serial: 'left' }), new ModelMachine({ serial: 'right' })];
  const emulator = await startRedfishEmulator({
    systems: machines.map((machine, index) => ({ id: `Node${index}`, machine })),
    ...testLogin,
    clock,
  });
  t.after(() => emulator.close());
  const open = (address: string) =>
    new RedfishDriver(
      {
        bmc: { type: 'Redfish', address },
        login: testLogin,
        macAddresses: [],
        broadcasts: [],
        clock,
        logger: listLogger([]),
      },
      queues,
    );
  await assert.rejects(open(emulator.url).state(never()), {
    reason: 'Invalid',
    message: /Systems\/Node0, .*Systems\/Node1/,
  });
  const right = open(`${emulator.url}/redfish/v1/Systems/Node1`);
  const left = open(`${emulator.url}/redfish/v1/Systems/Node0`);
  await Promise.all([right.turn('On', never()), left.identify(never()), right.identify(never())]);
  assert.deepEqual(
    machines.map((machine) => machine.isOn()),
    [false, true],
  );
  assert.equal((await right.identify(never())).serial, 'right');
  assert.equal(emulator.mostAtOnce, 1);
});

test('a certificate is proven unless the order says otherwise', async (t) => {
  const tls = await loopbackCertificate();
  const { key, certificate } = tls;
  const other = await loopbackCertificate();
  const { open } = await startTestBmc(t, { tls: { key, certificate } });
  await assert.rejects(open().state(never()), {
    reason: 'Unavailable',
    isPassing: false,
    message: /caCertificate/,
  });
  await assert.rejects(open({ bmc: { caCertificate: other.certificate } }).state(never()), {
    reason: 'Unavailable',
  });
  assert.equal(await open({ bmc: { caCertificate: certificate } }).state(never()), 'Off');
  assert.equal(await open({ bmc: { insecureSkipVerify: true } }).state(never()), 'Off');
});

test('a certificate that was given is trusted by itself, whatever name it has', async (t) => {
  const { key, certificate } = await loopbackCertificate();
  const { open, emulator } = await startTestBmc(t, { tls: { key, certificate } });
  // Its certificate names 127.0.0.1 only.
  const address = emulator.url.replace('127.0.0.1', 'localhost');
  assert.equal(await open({ bmc: { address, caCertificate: certificate } }).state(never()), 'Off');
});
