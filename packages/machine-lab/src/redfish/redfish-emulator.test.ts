import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import type { BmcQuirkName, Clock } from '@selvedge/api';
import { systemClock } from '@selvedge/api/node';
import { FakeClock } from '@selvedge/testkit';
import { ModelMachine } from '../model-machine.ts';
import {
  type RedfishEmulator,
  type RedfishEmulatorOptions,
  startRedfishEmulator,
} from './redfish-emulator.ts';

const login = { username: 'root', password: 'correct horse' };
const basic = `Basic ${Buffer.from('root:correct horse').toString('base64')}`;
const system = '/redfish/v1/Systems/1';
const resetPath = `${system}/Actions/ComputerSystem.Reset`;
const slotPath = '/redfish/v1/Managers/BMC/VirtualMedia/Cd1';
const insertPath = `${slotPath}/Actions/VirtualMedia.InsertMedia`;
const ejectPath = `${slotPath}/Actions/VirtualMedia.EjectMedia`;
const image = 'http://10.10.0.1/boot.iso';
const pxe = {
  BootSourceOverrideEnabled: 'Once',
  BootSourceOverrideTarget: 'Pxe',
  BootSourceOverrideMode: 'UEFI',
};

/** A client that does all by the book, and only once. */
class PlainClient {
  readonly emulator: RedfishEmulator;
  readonly machine: ModelMachine;

  constructor(emulator: RedfishEmulator, machine: ModelMachine) {
    this.emulator = emulator;
    this.machine = machine;
  }

  async call(
    method: string,
    path: string,
    options: { body?: object; headers?: Record<string, string> } = {},
  ) {
    const answer = await fetch(this.emulator.url + path, {
      method,
      redirect: 'manual',
      headers: { authorization: basic, ...options.headers },
      ...(options.body ? { body: JSON.stringify(options.body) } : {}),
    });
    const text = await answer.text();
    const body = (text === '' ? {} : JSON.parse(text)) as Record<string, never>;
    return { status: answer.status, headers: answer.headers, body };
  }

  async boot(change: object = pxe, headers: Record<string, string> = {}) {
    return (await this.call('PATCH', system, { body: { Boot: change }, headers })).status;
  }

  async reads(): Promise<Record<string, unknown>> {
    return (await this.call('GET', system)).body['Boot'] ?? {};
  }

  async reset(type: string) {
    return (await this.call('POST', resetPath, { body: { ResetType: type } })).status;
  }

  async insert(extra: object = {}) {
    return (await this.call('POST', insertPath, { body: { Image: image, ...extra } })).status;
  }
}

/** Where the plain client fails, or is misled, at a BMC with the quirk; without it, all of these would go well. */
const misbehaviour: Readonly<
  Partial<Record<BmcQuirkName, (client: PlainClient, clock: FakeClock) => Promise<void>>>
> = {
  FullBootRequest: async (client) => {
    const { BootSourceOverrideMode: _, ...partial } = pxe;
    assert.equal(await client.boot(partial), 204);
    assert.equal((await client.reads())['BootSourceOverrideEnabled'], 'Disabled');
  },
  BootOverrideReverts: async (client) => {
    assert.equal(await client.boot(), 204);
    assert.equal((await client.reads())['BootSourceOverrideMode'], 'Legacy');
  },
  BootModeResetsWithTarget: async (client) => {
    assert.equal(await client.boot({ BootSourceOverrideTarget: 'Pxe' }), 204);
    assert.equal((await client.reads())['BootSourceOverrideMode'], 'Legacy');
  },
  NoBootMode: async (client) => {
    assert.equal(await client.boot(), 400);
    assert.ok(!('BootSourceOverrideMode' in (await client.reads())));
  },
  MinimalBootRequest: async (client) => assert.equal(await client.boot(), 400),
  OverrideIgnored: async (client) => {
    await client.boot();
    await client.reset('On');
    assert.deepEqual(client.machine.boots, ['Default']);
  },
  OnceIgnored: async (client) => {
    await client.boot();
    await client.reset('On');
    assert.deepEqual(client.machine.boots, ['Default']);
  },
  BootModeNeedsReboot: async (client) => {
    await client.boot({ ...pxe, BootSourceOverrideMode: 'Legacy' });
    assert.equal((await client.reads())['BootSourceOverrideMode'], 'UEFI');
    await client.reset('On');
    assert.equal((await client.reads())['BootSourceOverrideMode'], 'Legacy');
  },
  NotFoundWhileJob: async (client) => {
    await client.boot();
    assert.equal((await client.call('GET', system)).status, 404);
  },
  SettingsResource: async (client) => {
    assert.equal(await client.boot(), 400);
    assert.equal((await client.call('GET', `${system}/SD`)).status, 200);
  },
  ConflictAfterPowerOff: async (client) => {
    await client.reset('On');
    await client.reset('ForceOff');
    assert.equal(await client.reset('On'), 409);
  },
  BusyDuringPost: async (client, clock) => {
    await client.reset('On');
    assert.equal(await client.boot(), 400);
    await clock.advance(10_001);
    assert.equal(await client.boot(), 204);
  },
  InvalidAfterPowerChange: async (client) => {
    await client.reset('On');
    assert.equal(await client.reset('ForceOff'), 400);
  },
  PowerStateUnsettled: async (client, clock) => {
    await client.reset('On');
    assert.notEqual((await client.call('GET', system)).body['PowerState'], 'On');
    await clock.advance(10_001);
    assert.equal((await client.call('GET', system)).body['PowerState'], 'On');
  },
  PowerStateStuck: async (client) => {
    assert.equal((await client.call('GET', system)).body['PowerState'], 'Off');
    await client.reset('On');
    assert.equal((await client.call('GET', system)).body['PowerState'], 'Off');
    assert.equal(client.machine.isOn(), true);
  },
  PowerLoop: async (client) => {
    await client.reset('On');
    await client.reset('On');
    assert.equal(client.machine.boots.length, 2);
  },
  FewResetTypes: async (client) => assert.equal(await client.reset('ForceRestart'), 400),
  TaskMonitorWrong: async (client) => {
    const { status, headers } = await client.call('PATCH', system, { body: { Boot: pxe } });
    assert.equal(status, 202);
    assert.equal((await client.call('GET', String(headers.get('location')))).status, 404);
  },
  UsbCdTarget: async (client) =>
    assert.ok(
      (await client.reads())['BootSourceOverrideTarget@Redfish.AllowableValues']
        ?.toString()
        .includes('UsbCd'),
    ),
  ImageOnlyInsert: async (client) => assert.equal(await client.insert({ Inserted: true }), 400),
  EjectNeedsBody: async (client) => {
    await client.insert();
    assert.equal((await client.call('POST', ejectPath)).status, 400);
  },
  EjectLags: async (client) => {
    await client.insert();
    await client.call('POST', ejectPath, { body: {} });
    assert.equal((await client.call('GET', slotPath)).body['Inserted'], true);
    assert.equal(await client.insert(), 409);
  },
  MediaByPatch: async (client) => assert.equal(await client.insert(), 404),
  InternalMediaSlots: async (client) => {
    const first = insertPath.replace('Cd1', 'Internal0');
    assert.equal((await client.call('POST', first, { body: { Image: image } })).status, 405);
  },
  MediaNeedsLogin: async (client) => assert.equal(await client.insert(), 400),
  MediaNeedsTransferMethod: async (client) => assert.equal(await client.insert(), 400),
  MediaNeedsLicence: async (client) => assert.equal(await client.insert(), 403),
  OemMediaBoot: async (client) =>
    assert.equal(await client.boot({ ...pxe, BootSourceOverrideTarget: 'Cd' }), 400),
  TrailingSlash: async (client) => assert.equal((await client.call('GET', system)).status, 404),
  Redirects: async (client) => assert.equal(await client.boot(), 308),
  EtagRequired: async (client) => assert.equal(await client.boot(), 428),
  EtagRefused: async (client) => {
    const { headers } = await client.call('GET', system);
    assert.equal(await client.boot(pxe, { 'if-match': String(headers.get('etag')) }), 412);
  },
  WeakEtagRefused: async (client) => {
    const { headers } = await client.call('GET', system);
    assert.equal(await client.boot(pxe, { 'if-match': String(headers.get('etag')) }), 412);
  },
  SessionServiceNeedsLogin: async (client) => {
    const headers = { authorization: '' };
    assert.equal((await client.call('GET', '/redfish/v1/SessionService', { headers })).status, 401);
  },
  FewSessions: async (client) => {
    const body = { UserName: login.username, Password: login.password };
    const open = async () =>
      (await client.call('POST', '/redfish/v1/SessionService/Sessions', { body })).status;
    assert.deepEqual([await open(), await open(), await open()], [201, 201, 503]);
  },
  NoSessions: async (client) =>
    assert.equal((await client.call('GET', '/redfish/v1/SessionService')).status, 404),
  PasswordChangeRequired: async (client) => assert.equal((await client.call('GET', system)).status, 403),
  BiosNeedsLicence: async (client) => assert.equal((await client.call('GET', `${system}/Bios`)).status, 403),
};

describe('a plain client meets each quirk', () => {
  for (const [name, meet] of Object.entries(misbehaviour))
    test(name, async (t) => {
      const clock = new FakeClock();
      await meet(await start(t, { quirks: [name as BmcQuirkName], clock }), clock);
    });
});

test('without quirks all of it goes well', async (t) => {
  const client = await start(t);
  const { BootSourceOverrideMode: _, ...partial } = pxe;
  assert.deepEqual([await client.boot(partial), await client.boot()], [204, 204]);
  const { etag } = Object.fromEntries((await client.call('GET', system)).headers);
  assert.equal(await client.boot(pxe, { 'if-match': String(etag) }), 204);
  assert.equal(await client.boot(pxe, { 'if-match': '"0"' }), 412, 'an old ETag');
  assert.deepEqual([await client.reset('On'), await client.reset('On')], [204, 204]);
  assert.deepEqual([await client.reset('ForceRestart'), await client.reset('ForceOff')], [204, 204]);
  assert.deepEqual(client.machine.boots, ['Network', 'Default']);
  assert.deepEqual([await client.insert(), await client.insert()], [204, 409]);
  assert.equal((await client.call('POST', ejectPath)).status, 204);
  assert.equal(
    (await client.call('GET', '/redfish/v1/SessionService', { headers: { authorization: '' } })).status,
    200,
  );
});

test('nothing is shown or done without the right login', async (t) => {
  const client = await start(t);
  for (const authorization of ['', 'Basic', 'Basic bm9ib2R5Og==', 'Bearer x'])
    for (const [method, path] of [
      ['GET', system],
      ['PATCH', system],
      ['POST', resetPath],
      ['GET', '/redfish/v1/SessionService/Sessions'],
    ] as const)
      assert.equal((await client.call(method, path, { headers: { authorization } })).status, 401);
  const headers = { authorization: '', 'x-auth-token': 'made up' };
  assert.equal((await client.call('GET', system, { headers })).status, 401);
  assert.equal(client.machine.isOn(), false);
});

test('what makes no sense is refused, and changes nothing', async (t) => {
  const client = await start(t);
  for (const change of [
    { BootSourceOverrideTarget: 'Moon' },
    { BootSourceOverrideTarget: 7 },
    { BootSourceOverrideEnabled: 'Sometimes' },
    { BootSourceOverrideMode: 'BIOS' },
  ])
    assert.equal(await client.boot(change), 400);
  assert.equal(await client.reset('Explode'), 400);
  for (const path of [
    '/',
    '/redfish/v2',
    '/redfish/v1/Nothing',
    `${system}/Nothing`,
    '/redfish/v1/Systems/2',
  ])
    assert.equal((await client.call('GET', path)).status, 404, path);
  assert.equal((await client.call('PUT', system, { body: {} })).status, 405);
  assert.deepEqual(client.machine.boots, []);
});

async function start(
  t: TestContext,
  options: Partial<RedfishEmulatorOptions> & { clock?: Clock } = {},
): Promise<PlainClient> {
  const machine = new ModelMachine();
  const emulator = await startRedfishEmulator({
    systems: [{ machine }],
    ...login,
    clock: systemClock,
    ...options,
  });
  t.after(() => emulator.close());
  return new PlainClient(emulator, machine);
}
