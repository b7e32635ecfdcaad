import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { BmcOrder } from '@selvedge/api';
import { PowerQueues } from '../power-queues.ts';
import { HastyClock } from '../testing/hasty-clock.ts';
import { listLogger, never } from '../testing/test-bmc.ts';
import { IpmiDriver } from './ipmi-driver.ts';

const login = { username: 'root', password: 'correct horse', kg: 'battery staple' };
const network = { target: 'Network', mode: 'UEFI', isOnce: true } as const;

/**
 * A BMC as a shell script in the place of ipmitool: it keeps boot flags as five bytes, and what it was called with. `body` may change how it behaves.
 */
function scriptedBmc(t: TestContext, body: string) {
  const directory = mkdtempSync(join(tmpdir(), 'selvedge-ipmitool-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const program = join(directory, 'ipmitool');
  writeFileSync(
    program,
    `#!/bin/sh
cd '${directory}' || exit 1
echo "$* | $(env | grep -c ^IPMI_)" >>calls
[ "$IPMI_PASSWORD" = 'correct horse' ] && [ "$IPMI_KGKEY" = 'battery staple' ] || { echo 'RAKP 2 HMAC is invalid' >&2; exit 1; }
case "$*" in
${body}
*"mc info"*) echo 'Manufacturer Name : Contoso' ;;
*"power status"*) echo "Chassis Power is $(cat power 2>/dev/null || echo off)" ;;
*"power on"*) echo on >power ;;
*"bootdev pxe options=efiboot"*) echo e004000000 >flags ;;
*"bootdev pxe"*) echo 8004000000 >flags ;;
*"raw 0x00 0x08 0x05"*) echo a004000000 >flags ;;
*"bootparam get 5"*) echo "Boot parameter data: $(cat flags)" ;;
*) echo 'Invalid command' >&2; exit 1 ;;
esac
`,
    { mode: 0o700 },
  );
  return { program, calls: () => readFileSync(join(directory, 'calls'), 'utf8') };
}

function open(program: string, bmc: Partial<BmcOrder> = {}): IpmiDriver {
  const clock = new HastyClock();
  const options = {
    bmc: { type: 'IPMI' as const, address: 'bmc.example', ...bmc },
    login,
    macAddresses: [],
    broadcasts: [],
    clock,
    logger: listLogger([]),
  };
  return new IpmiDriver(options, new PowerQueues({ clock }), program);
}

test('password and key go by the environment, never by the arguments', async (t) => {
  const { program, calls } = scriptedBmc(t, '');
  assert.equal(await open(program).state(never()), 'Off');
  assert.match(calls(), /-H bmc\.example -p 623 -U root -E -K -C 17 .*chassis power status \| 2/);
  assert.ok(!calls().includes('horse') && !calls().includes('staple'));
});

test('EfiBootFlagIgnored: a BMC that forgets options=efiboot gets the flags as bytes, from then on at once', async (t) => {
  const { program, calls } = scriptedBmc(t, '*"bootdev pxe options=efiboot"*) echo 8004000000 >flags ;;');
  const driver = open(program);
  assert.deepEqual(await driver.setBoot(network, never()), network);
  assert.deepEqual((await driver.identify(never())).quirks, ['EfiBootFlagIgnored']);
  await driver.setBoot(network, never());
  assert.equal(calls().match(/bootdev/g)?.length, 1);
  assert.equal(calls().match(/raw/g)?.length, 2);
});

test('NoCipherSuite17: suite 3 is taken when 17 is refused, and kept', async (t) => {
  const { program, calls } = scriptedBmc(
    t,
    "*'-C 17'*) echo 'Error in open session response message : invalid authentication algorithm' >&2; exit 1 ;;",
  );
  const driver = open(program);
  await driver.turn('On', never());
  assert.equal(await driver.state(never()), 'On');
  assert.equal(calls().match(/-C 17/g)?.length, 1);
  assert.deepEqual((await driver.identify(never())).quirks, ['NoCipherSuite17']);
});

test('a BMC that says yes and keeps other flags: NotHonoured', async (t) => {
  const { program } = scriptedBmc(t, '*"bootdev"* | *raw*) echo 8008000000 >flags ;;');
  await assert.rejects(open(program).setBoot(network, never()), {
    reason: 'NotHonoured',
    message: /reads Disk BIOS once/,
  });
});

test('a BMC that refuses a command says so in its own words', async (t) => {
  const { program } = scriptedBmc(t, '*"power status"*) echo "Node busy" >&2; exit 1 ;;');
  await assert.rejects(open(program).state(never()), {
    reason: 'Busy',
    isPassing: true,
    message: /Node busy/,
  });
});

test('a BMC that cannot cycle power is reset', async (t) => {
  const { program, calls } = scriptedBmc(
    t,
    `*"power cycle"*) echo 'Command not supported' >&2; exit 1 ;;
*"power reset"*) : ;;`,
  );
  const driver = open(program);
  await driver.turn('On', never());
  await driver.turn('Cycle', never());
  assert.match(calls(), /power cycle.*\n.*power reset/);
});

test('a BMC whose power state is not to be believed: off and on whatever it reads', async (t) => {
  const { program, calls } = scriptedBmc(
    t,
    `*"power status"*) echo 'Chassis Power is on' ;;
*"power off"*) : ;;`,
  );
  await open(program).turn('ForcedCycle', never());
  assert.match(calls(), /power off.*\n(.*power status.*\n)+.*power on [^\n]*\n$/);
});

test('one that refuses to be turned off is cycled, or turned on where it is off', async (t) => {
  const refused = `*"power off"*) echo 'Command not supported in present state' >&2; exit 1 ;;`;
  const on = scriptedBmc(
    t,
    `${refused}
*"power status"*) echo 'Chassis Power is on' ;;
*"power cycle"*) : ;;`,
  );
  await open(on.program).turn('ForcedCycle', never());
  assert.match(on.calls(), /power cycle/);
  const off = scriptedBmc(t, refused);
  await open(off.program).turn('ForcedCycle', never());
  assert.match(off.calls(), /power on/);
});

test('cipher suite 0 is refused: with it anybody switches the machine', () => {
  assert.throws(() => open('ipmitool', { cipherSuite: 0 }), { reason: 'Invalid', message: /no password/ });
});

test('a user that may not do one thing may do others', async (t) => {
  const { program } = scriptedBmc(t, '*"power on"*) echo "Insufficient privilege level" >&2; exit 1 ;;');
  const driver = open(program);
  await assert.rejects(driver.turn('On', never()), {
    reason: 'Unauthorized',
    message: /administrator over LAN/,
  });
  assert.equal(await driver.state(never()), 'Off');
});

test('a BMC that hangs is given up with the signal, and the program is ended', async (t) => {
  const { program } = scriptedBmc(t, '*"power status"*) exec sleep 300 ;;');
  await assert.rejects(open(program).state(AbortSignal.timeout(300)), { name: 'TimeoutError' });
});

test('without ipmitool the error names the package', async () => {
  await assert.rejects(open('/nowhere/ipmitool').state(never()), {
    reason: 'Unsupported',
    message: /apt install ipmitool/,
  });
});

test('addresses and secrets that cannot be are refused before anything is called', () => {
  for (const address of ['', '-host', 'a b', 'host/path', 'user@host', 'host:99999'])
    assert.throws(() => open('ipmitool', { address }), { reason: 'Invalid' }, address);
  for (const address of ['10.0.0.5', '10.0.0.5:6230', 'fd00::5', '[fd00::5]:623', 'bmc-1.example'])
    assert.doesNotThrow(() => open('ipmitool', { address }), address);
});
