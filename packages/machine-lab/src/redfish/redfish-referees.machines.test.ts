import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { systemClock } from '@selvedge/api/node';
import { getTool, requireTool } from '@selvedge/testkit';
import { ModelMachine } from '../model-machine.ts';
import { type RedfishEmulator, startRedfishEmulator } from './redfish-emulator.ts';

const run = promisify(execFile);
const login = { username: 'root', password: 'correct horse' };

/** What OpenStack's sushy does with a machine; it prints what it sees. */
const sushyStory = `
import sys, sushy
root = sushy.Sushy(sys.argv[1], username=sys.argv[2], password=sys.argv[3])
system = root.get_system()
print(system.uuid, system.manufacturer, system.power_state.value)
system.set_system_boot_options(target=sushy.BOOT_SOURCE_TARGET_PXE, enabled=sushy.BOOT_SOURCE_ENABLED_ONCE,
                               mode=sushy.BOOT_SOURCE_MODE_UEFI)
system.refresh(force=True)
print(system.boot.target.value, system.boot.enabled.value, system.boot.mode.value)
system.reset_system(sushy.RESET_ON)
system.refresh(force=True)
print(system.power_state.value, system.boot.enabled.value)
print([port.mac_address for port in system.ethernet_interfaces.get_members()])
disc = root.get_manager().virtual_media.get_members()[0]
disc.insert_media('http://10.10.0.1/boot.iso')
disc.refresh(force=True)
print(disc.inserted, disc.image)
disc.eject_media()
system.reset_system(sushy.RESET_FORCE_OFF)
system.refresh(force=True)
print(system.power_state.value)
`;

test(
  'sushy drives the emulator',
  requireTool('/usr/lib/python3/dist-packages/sushy/__init__.py'),
  async (t) => {
    const { machine, emulator } = await startBmc(t);
    const args = ['-c', sushyStory, emulator.url, login.username, login.password];
    const { stdout } = await run('/usr/bin/python3', args, { timeout: 60_000 });
    assert.deepEqual(stdout.trim().split('\n'), [
      `${machine.identity.uuid} Contoso Off`,
      'Pxe Once UEFI',
      'On Disabled',
      "['52:54:00:00:00:01']",
      'True http://10.10.0.1/boot.iso',
      'Off',
    ]);
    assert.deepEqual(machine.boots, ['Network']);
    assert.equal(emulator.openSessions, 0);
  },
);

test('redfishtool drives the emulator', requireTool('redfishtool'), async (t) => {
  const { machine, emulator } = await startBmc(t);
  const redfishtool = async (...command: readonly string[]) => {
    const where = ['-r', new URL(emulator.url).host, '-S', 'Never'];
    const who = ['-u', login.username, '-p', login.password];
    return (await run(getTool('redfishtool'), [...where, ...who, ...command], { timeout: 60_000 })).stdout;
  };
  await redfishtool('Systems', 'setBootOverride', 'Once', 'Pxe');
  await redfishtool('Systems', 'reset', 'On');
  assert.equal(machine.isOn(), true);
  const system = JSON.parse(await redfishtool('Systems', '-F')) as Record<string, unknown>;
  assert.equal(system['PowerState'], 'On');
  assert.equal(system['SerialNumber'], machine.identity.serial);
  await redfishtool('Systems', 'reset', 'ForceOff');
  assert.equal(machine.isOn(), false);
  assert.deepEqual(machine.boots, ['Network']);
  await assert.rejects(redfishtool('Systems', 'reset', 'Explode'));
});

async function startBmc(t: TestContext): Promise<{ machine: ModelMachine; emulator: RedfishEmulator }> {
  const machine = new ModelMachine();
  const emulator = await startRedfishEmulator({ systems: [{ machine }], ...login, clock: systemClock });
  t.after(() => emulator.close());
  return { machine, emulator };
}
