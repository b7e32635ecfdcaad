import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import type { BmcQuirkName } from '@selvedge/api';
import type { BootSetting } from '../power-driver.ts';
import { never, startTestBmc, type TestBmc, testLogin } from '../testing/test-bmc.ts';

const network = { target: 'Network', mode: 'UEFI', isOnce: true } as const satisfies BootSetting;
const anyMode = { target: 'Network', isOnce: true } as const satisfies BootSetting;
const legacy = { ...network, mode: 'BIOS' } as const satisfies BootSetting;
const otherUuid = '00112233-4455-6677-8899-aabbccddeeff';
const disc = new URL('http://10.10.0.1:5248/boot/ipxe.iso');

type IpmiQuirk = 'EfiBootFlagIgnored' | 'NoCipherSuite17';
type RedfishQuirk = Exclude<BmcQuirkName, IpmiQuirk>;

/**
 * What the driver does at a BMC that has this quirk and whose vendor says nothing of it. Every quirk of Redfish has a proof: the compiler insists.
 */
const proofs: Readonly<Record<RedfishQuirk, (bmc: TestBmc) => Promise<void>>> = {
  FullBootRequest: async (bmc) => {
    assert.deepEqual(await bootFromNetwork(bmc, anyMode), network);
    assert.deepEqual(bmc.machine.boots, ['Network']);
  },
  BootOverrideReverts: async (bmc) => {
    await assert.rejects(bmc.driver.setBoot(network, never()), {
      reason: 'NotHonoured',
      message: /Once Pxe UEFI in 1 write reads Disabled None BIOS; .*Continuous/,
    });
    assert.ok(writes(bmc).length >= 4);
    await assertFound(bmc, 'BootOverrideReverts');
  },
  BootModeResetsWithTarget: async (bmc) => {
    assert.deepEqual(await bootFromNetwork(bmc, anyMode), network);
    assert.deepEqual(bmc.machine.boots, ['Network']);
  },
  NoBootMode: async (bmc) => {
    assert.deepEqual(await bootFromNetwork(bmc), anyMode);
    assert.deepEqual(bmc.machine.boots, ['Network']);
    assert.ok(!JSON.stringify(writes(bmc)).includes('BootSourceOverrideMode'));
  },
  MinimalBootRequest: async (bmc) => {
    await bootFromNetwork(bmc);
    assert.deepEqual(bmc.machine.boots, ['Network']);
    await assertFound(bmc, 'MinimalBootRequest');
    const before = writes(bmc).length;
    await bootFromNetwork(bmc);
    assert.equal(writes(bmc).length, before + 1, 'what was found out is used from then on');
  },
  OverrideIgnored: async (bmc) => {
    // All reads well: only the boot request that does not come tells it.
    assert.deepEqual(await bootFromNetwork(bmc), network);
    assert.deepEqual(bmc.machine.boots, ['Default']);
  },
  OnceIgnored: async (bmc) => {
    await bootFromNetwork(bmc);
    assert.deepEqual(bmc.machine.boots, ['Default']);
    const driver = bmc.open({ bmc: { quirks: ['OnceIgnored'] } });
    assert.deepEqual(await driver.setBoot(network, never()), { ...network, isOnce: false });
    await driver.turn('Cycle', never());
    assert.deepEqual(bmc.machine.boots, ['Default', 'Network']);
  },
  BootModeNeedsReboot: async (bmc) => {
    const driver = bmc.open({ bmc: { quirks: ['BootModeNeedsReboot'] } });
    assert.deepEqual(await driver.setBoot(legacy, never()), network);
    await driver.turn('Cycle', never());
    assert.deepEqual(bmc.machine.boots, ['Network']);
    assert.equal(bmc.emulator.override('1').mode, 'Legacy');
  },
  NotFoundWhileJob: async (bmc) => {
    assert.deepEqual(await bootFromNetwork(bmc), network);
    await assertFound(bmc, 'NotFoundWhileJob');
  },
  SettingsResource: async (bmc) => {
    assert.deepEqual(await bootFromNetwork(bmc), network);
    assert.deepEqual(bmc.machine.boots, ['Network']);
    await assertFound(bmc, 'SettingsResource');
  },
  ConflictAfterPowerOff: async (bmc) => {
    await offAndOn(bmc);
    await assertFound(bmc, 'ConflictAfterPowerOff');
  },
  BusyDuringPost: async (bmc) => {
    await bmc.driver.turn('On', never());
    assert.deepEqual(await bmc.driver.setBoot(network, never()), network);
    await assertFound(bmc, 'BusyDuringPost');
  },
  InvalidAfterPowerChange: async (bmc) => {
    await offAndOn(bmc);
    await assertFound(bmc, 'InvalidAfterPowerChange');
  },
  PowerStateUnsettled: async (bmc) => {
    const { driver, machine } = bmc;
    for (const round of [1, 2, 3, 4]) {
      await driver.turn('On', never());
      await driver.turn('On', never());
      assert.equal(await driver.state(never()), 'On');
      await driver.turn('Off', never());
      assert.equal(await driver.state(never()), 'Off');
      assert.equal(machine.boots.length, round);
    }
    await assertFound(bmc, 'PowerStateUnsettled');
  },
  PowerStateStuck: async (bmc) => {
    const { driver, machine } = bmc;
    assert.equal(await driver.state(never()), 'Off');
    await machine.turnOn('Default');
    await bootFromNetwork(bmc);
    assert.deepEqual(machine.boots, ['Default'], 'as it reads Off it is told to go on, which it is');
    await driver.turn('ForcedCycle', never());
    assert.deepEqual(machine.boots, ['Default', 'Network']);
  },
  PowerLoop: async (bmc) => {
    await bmc.driver.turn('On', never());
    await bmc.driver.turn('On', never());
    assert.deepEqual(bmc.machine.boots, ['Default']);
  },
  FewResetTypes: async (bmc) => {
    await bmc.driver.turn('On', never());
    await bootFromNetwork(bmc);
    assert.deepEqual(bmc.machine.boots, ['Default', 'Network']);
    await assert.rejects(bmc.driver.turn('GracefulOff', never()), { reason: 'Unsupported' });
  },
  TaskMonitorWrong: async (bmc) => {
    assert.deepEqual(await bootFromNetwork(bmc), network);
    assert.deepEqual(pathsOf(bmc, 'TaskService'), []);
  },
  UsbCdTarget: async (bmc) => {
    const driver = bmc.open({ bmc: { quirks: ['UsbCdTarget'] } });
    await driver.bootMedia?.(disc, never());
    assert.equal(bmc.emulator.override('1').target, 'UsbCd');
  },
  ImageOnlyInsert: bootsDisc,
  EjectNeedsBody: bootsDisc,
  EjectLags: bootsDisc,
  MediaByPatch: bootsDisc,
  InternalMediaSlots: bootsDisc,
  MediaNeedsLogin: bootsDisc,
  MediaNeedsTransferMethod: bootsDisc,
  MediaNeedsLicence: async (bmc) => {
    await assert.rejects(async () => bmc.driver.bootMedia?.(disc, never()), {
      reason: 'Unsupported',
      isPassing: false,
      message: /licence/,
    });
  },
  OemMediaBoot: async (bmc) => {
    await bmc.driver.bootMedia?.(disc, never());
    assert.equal(bmc.emulator.oemBoot('1'), 'VCD-DVD');
  },
  TrailingSlash: bootsAndFinds('TrailingSlash'),
  Redirects: bootsAndFinds('Redirects'),
  EtagRequired: async (bmc) => {
    await bootFromNetwork(bmc);
    assert.deepEqual(bmc.machine.boots, ['Network']);
    assert.deepEqual(
      bmc.emulator.calls.filter(({ method }) => method === 'PATCH').map(({ status }) => status),
      [204],
    );
  },
  EtagRefused: bootsAndFinds('EtagRefused'),
  WeakEtagRefused: bootsAndFinds('WeakEtagRefused'),
  SessionServiceNeedsLogin: async (bmc) => {
    await bootFromNetwork(bmc);
    assert.deepEqual(bmc.machine.boots, ['Network']);
    assert.ok(bmc.emulator.calls.every(({ status }) => status < 400));
  },
  FewSessions: async (bmc) => {
    for (let round = 0; round < 5; round += 1) await bmc.driver.state(never());
    assert.equal(bmc.emulator.openSessions, 0, 'the driver ends its own');
    for (const _ of [1, 2]) await leakSession(bmc);
    assert.equal(await bmc.driver.state(never()), 'Off');
    await assertFound(bmc, 'FewSessions');
  },
  NoSessions: bootsAndFinds('NoSessions'),
  PasswordChangeRequired: async (bmc) => {
    await assert.rejects(bmc.driver.state(never()), {
      reason: 'Unauthorized',
      isPassing: false,
      message: /set a password that its policy likes/,
    });
  },
  FreezesUnderBursts: async (bmc) => {
    const other = bmc.open();
    const rounds = Array.from({ length: 6 }, (_, index) => (index % 2 === 0 ? bmc.driver : other));
    const states = await Promise.all(rounds.map((driver) => driver.state(never())));
    assert.deepEqual(states, Array(6).fill('Off'));
    assert.equal(bmc.emulator.mostAtOnce, 1);
  },
  BiosNeedsLicence: async (bmc) => {
    assert.deepEqual(await bootFromNetwork(bmc), network);
    assert.deepEqual(pathsOf(bmc, 'Bios'), []);
  },
  OtherSystem: async (bmc) => {
    const driver = bmc.open({ identity: { uuid: otherUuid, serials: ['at another address'] } });
    for (const attempt of [
      () => driver.turn('On', never()),
      () => driver.setBoot(network, never()),
      () => driver.state(never()),
    ])
      await assert.rejects(attempt, {
        reason: 'Invalid',
        isPassing: false,
        message: /belongs to another machine/,
      });
    assert.deepEqual(bmc.machine.boots, []);
    assert.deepEqual(writes(bmc), []);
    const own = bmc.open({ identity: { uuid: bmc.machine.identity.uuid } });
    assert.equal(await own.state(never()), 'Off');
  },
  ForeignIdentity: async (bmc) => {
    const driver = bmc.open({ identity: { uuid: otherUuid }, bmc: { quirks: ['ForeignIdentity'] } });
    await driver.turn('On', never());
    assert.deepEqual(bmc.machine.boots, ['Default']);
  },
};

/** The rows of the vendor table: what is reported of machines of one make, all at once in one emulated BMC. */
const vendorRows: readonly {
  row: string;
  manufacturer: string;
  systemId: string;
  quirks: readonly RedfishQuirk[];
}[] = [
  {
    row: 'Supermicro X11, X12',
    manufacturer: 'Supermicro',
    systemId: '1',
    quirks: [
      'FullBootRequest',
      'BootModeResetsWithTarget',
      'UsbCdTarget',
      'ImageOnlyInsert',
      'BiosNeedsLicence',
    ],
  },
  // Boots virtual media as Cd, although its maker says UsbCd.
  {
    row: 'Supermicro ARS-111GL-NHR',
    manufacturer: 'Supermicro',
    systemId: '1',
    quirks: ['FullBootRequest', 'ImageOnlyInsert'],
  },
  {
    row: 'Supermicro X10',
    manufacturer: 'Supermicro',
    systemId: '1',
    quirks: ['NoBootMode', 'ImageOnlyInsert'],
  },
  {
    row: 'Dell iDRAC9',
    manufacturer: 'Dell Inc.',
    systemId: 'System.Embedded.1',
    quirks: ['BootModeNeedsReboot', 'NotFoundWhileJob', 'ConflictAfterPowerOff', 'EjectLags', 'OemMediaBoot'],
  },
  {
    row: 'Dell iDRAC10',
    manufacturer: 'Dell Inc.',
    systemId: 'System.Embedded.1',
    quirks: ['BootModeNeedsReboot', 'NotFoundWhileJob', 'ConflictAfterPowerOff', 'EjectLags'],
  },
  {
    row: 'HPE iLO5',
    manufacturer: 'HPE',
    systemId: '1',
    quirks: ['BusyDuringPost', 'InvalidAfterPowerChange', 'TaskMonitorWrong', 'EjectNeedsBody', 'PowerLoop'],
  },
  {
    row: 'HPE DL160 Gen10',
    manufacturer: 'HPE',
    systemId: '1',
    quirks: ['MinimalBootRequest', 'BusyDuringPost', 'EjectNeedsBody'],
  },
  {
    row: 'HPE Gen9',
    manufacturer: 'Hewlett Packard Enterprise',
    systemId: '1',
    quirks: ['NoBootMode', 'BusyDuringPost'],
  },
  {
    row: 'HPE Gen11',
    manufacturer: 'HPE',
    systemId: '1',
    quirks: ['PowerStateUnsettled', 'BusyDuringPost', 'PowerLoop'],
  },
  { row: 'Lenovo SD530', manufacturer: 'Lenovo', systemId: '1', quirks: ['MediaByPatch', 'EtagRequired'] },
  { row: 'Lenovo TSM', manufacturer: 'Lenovo', systemId: 'Self', quirks: ['SettingsResource'] },
  {
    row: 'AMI MegaRAC',
    manufacturer: 'ASRockRack',
    systemId: 'Self',
    quirks: ['SettingsResource', 'EtagRequired'],
  },
  {
    row: 'Cisco UCS',
    manufacturer: 'Cisco Systems Inc',
    systemId: 'WZP0001',
    quirks: ['InternalMediaSlots'],
  },
  {
    row: 'OpenBMC',
    manufacturer: 'OpenBMC',
    systemId: 'system',
    quirks: ['InternalMediaSlots', 'TrailingSlash'],
  },
  {
    row: 'NVIDIA DGX',
    manufacturer: 'NVIDIA',
    systemId: 'DGX',
    quirks: ['MediaNeedsLogin', 'MediaNeedsTransferMethod', 'InternalMediaSlots'],
  },
  {
    row: 'Generic, strict',
    manufacturer: 'Contoso',
    systemId: '1',
    quirks: [
      'TrailingSlash',
      'EtagRequired',
      'WeakEtagRefused',
      'MediaNeedsTransferMethod',
      'SessionServiceNeedsLogin',
    ],
  },
  {
    row: 'Generic, poor',
    manufacturer: 'Contoso',
    systemId: '1',
    quirks: ['Redirects', 'EtagRefused', 'NoSessions', 'FewResetTypes', 'FreezesUnderBursts'],
  },
];

describe('each quirk, at a BMC of which nothing is known', () => {
  for (const [name, proof] of Object.entries(proofs))
    test(name, async (t: TestContext) => proof(await startTestBmc(t, { quirks: [name as RedfishQuirk] })));
});

describe('each row of the vendor table: network boot, power and virtual media with all of its quirks', () => {
  for (const { row, manufacturer, systemId, quirks } of vendorRows)
    test(row, async (t) => {
      const bmc = await startTestBmc(t, { quirks, manufacturer, systemId });
      await bootFromNetwork(bmc);
      assert.equal(await bmc.driver.state(never()), 'On');
      await offAndOn(bmc);
      await bootFromNetwork(bmc);
      assert.deepEqual(bmc.machine.boots, ['Network', 'Default', 'Network']);
      await bmc.driver.bootMedia?.(disc, never());
      assert.equal(bmc.emulator.mediaImage, disc.href);
      await bmc.driver.ejectMedia?.(never());
      assert.equal(bmc.emulator.mediaImage, null);
      assert.equal(bmc.emulator.openSessions, 0);
      assert.equal(bmc.emulator.mostAtOnce, 1);
    });
});

/** Sets network boot and restarts: what the rack does to have a machine boot from it. */
async function bootFromNetwork({ driver }: TestBmc, setting: BootSetting = network): Promise<BootSetting> {
  const read = await driver.setBoot(setting, never());
  await driver.turn('Cycle', never());
  return read;
}

async function offAndOn({ driver }: TestBmc): Promise<void> {
  await driver.turn('On', never());
  await driver.turn('Off', never());
  await driver.turn('On', never());
  assert.equal(await driver.state(never()), 'On');
}

function bootsAndFinds(quirk: RedfishQuirk): (bmc: TestBmc) => Promise<void> {
  return async (bmc) => {
    assert.deepEqual(await bootFromNetwork(bmc), network);
    assert.deepEqual(bmc.machine.boots, ['Network']);
    await assertFound(bmc, quirk);
  };
}

/** Twice: the second image takes the place of the first one. */
async function bootsDisc(bmc: TestBmc): Promise<void> {
  for (const name of ['first.iso', 'second.iso']) {
    const image = new URL(name, disc);
    await bmc.driver.bootMedia?.(image, never());
    assert.equal(bmc.emulator.mediaImage, image.href);
    assert.equal(bmc.emulator.override('1').target, 'Cd');
  }
  await bmc.driver.ejectMedia?.(never());
  assert.equal(bmc.emulator.mediaImage, null);
}

async function assertFound({ driver }: TestBmc, quirk: RedfishQuirk): Promise<void> {
  const { quirks } = await driver.identify(never());
  assert.ok(quirks.includes(quirk), `${quirk} is not among ${quirks.join(', ')}`);
}

function writes({ emulator }: TestBmc): unknown[] {
  return emulator.calls.filter(({ method }) => method === 'PATCH').map(({ body }) => body);
}

function pathsOf({ emulator }: TestBmc, part: string): string[] {
  return emulator.calls.map(({ path }) => path).filter((path) => path.includes(part));
}

async function leakSession({ emulator }: TestBmc): Promise<void> {
  const answer = await fetch(`${emulator.url}/redfish/v1/SessionService/Sessions`, {
    method: 'POST',
    body: JSON.stringify({ UserName: testLogin.username, Password: testLogin.password }),
  });
  assert.equal(answer.status, 201);
}
