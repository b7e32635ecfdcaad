import { type ChildProcess, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { systemClock } from '@selvedge/api/node';
import { getTool } from '@selvedge/testkit';

export interface IpmiSimulator {
  /** `127.0.0.1:PORT`. */
  readonly address: string;
  readonly login: { readonly username: string; readonly password: string };
  isOn(): boolean;
  /** What was set, oldest first: `power 1`, `boot pxe`. */
  changes(): string[];
}

/**
 * OpenIPMI's BMC (RMCP+ over UDP) with a machine behind it that is two files. It takes cipher suite 3, and no 17.
 * @param serialPort where the machine's serial console is, on this machine.
 */
export async function startIpmiSimulator(
  t: TestContext,
  { serialPort }: { readonly serialPort?: number } = {},
): Promise<IpmiSimulator> {
  const directory = mkdtempSync(join(tmpdir(), 'selvedge-ipmi-'));
  const port = await findFreePort();
  const login = { username: 'root', password: 'correct-horse' };
  writeFileSync(join(directory, 'chassis.sh'), chassisScript(directory), { mode: 0o700 });
  writeFileSync(join(directory, 'lan.conf'), lanConfiguration({ directory, port, serialPort, ...login }));
  writeFileSync(join(directory, 'bmc.emu'), bmcCommands);
  mkdirSync(join(directory, 'state'));
  const files = [
    '-c',
    join(directory, 'lan.conf'),
    '-f',
    join(directory, 'bmc.emu'),
    '-s',
    join(directory, 'state'),
  ];
  const child = spawn(getTool('ipmi_sim'), ['-n', ...files], { stdio: 'ignore' });
  t.after(async () => {
    await end(child);
    rmSync(directory, { recursive: true, force: true });
  });
  await untilListening(child, port);
  const read = (name: string) => {
    try {
      return readFileSync(join(directory, name), 'utf8').trim();
    } catch {
      return '';
    }
  };
  return {
    address: `127.0.0.1:${port}`,
    login,
    isOn: () => read('power') === '1',
    changes: () => read('changes').split('\n').filter(Boolean),
  };
}

/** It is called as `chassis.sh ADDRESS get|set NAME [VALUE] …`. */
function chassisScript(directory: string): string {
  return `#!/bin/sh
cd '${directory}' || exit 1
shift
verb=$1
shift
if [ "$verb" = get ]; then
  for name in "$@"; do echo "$name:$(cat "$name" 2>/dev/null || echo 0)"; done
elif [ "$verb" = set ]; then
  while [ $# -gt 1 ]; do
    echo "$2" >"$1.new"
    mv "$1.new" "$1"
    echo "$1 $2" >>changes
    shift 2
  done
fi
`;
}

function lanConfiguration(options: {
  directory: string;
  port: number;
  serialPort: number | undefined;
  username: string;
  password: string;
}): string {
  const methods = 'none md2 md5 straight';
  return `name "simulated"
set_working_mc 0x20
  startlan 1
    addr 127.0.0.1 ${options.port}
    priv_limit admin
    allowed_auths_callback ${methods}
    allowed_auths_user ${methods}
    allowed_auths_operator ${methods}
    allowed_auths_admin ${methods}
    guid a123456789abcdefa123456789abcdef
  endlan
${options.serialPort === undefined ? '' : `  sol "tcp:127.0.0.1:${options.serialPort}" 115200\n`}  chassis_control "${join(options.directory, 'chassis.sh')} 0x20"
  user 1 true "" "" user 10 ${methods}
  user 2 true "${options.username}" "${options.password}" admin 10 ${methods}
`;
}

const bmcCommands = `mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr
sel_enable 0x20 1000 0x0a
mc_enable 0x20
`;

async function findFreePort(): Promise<number> {
  const socket = createSocket('udp4');
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  const { port } = socket.address();
  await new Promise<void>((resolve) => socket.close(resolve));
  return port;
}

/** Looked up, not tried: who tries to bind it may be in the way of the simulator. */
function isTaken(port: number): boolean {
  const address = `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')} `;
  return readFileSync('/proc/net/udp', 'utf8').includes(address);
}

async function untilListening(child: ChildProcess, port: number): Promise<void> {
  for (let round = 0; round < 200; round += 1) {
    if (child.exitCode !== null) throw new Error(`ipmi_sim ended with ${child.exitCode}`);
    if (isTaken(port)) return;
    await systemClock.sleep(50);
  }
  throw new Error('ipmi_sim does not listen');
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  child.once('exit', () => resolve());
  child.kill('SIGKILL');
  await promise;
}
