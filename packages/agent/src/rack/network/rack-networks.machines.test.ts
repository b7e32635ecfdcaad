import assert from 'node:assert/strict';
import { type ChildProcessByStdio, execFile, spawn } from 'node:child_process';
import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { promisify } from 'node:util';
import type { MachineOrder, RackNetwork, RackReport } from '@selvedge/api';
import { systemClock } from '@selvedge/api/node';
import { NamespaceNetwork } from '@selvedge/machine-lab';
import { getTool, requireTool } from '@selvedge/testkit';
import type { DhcpAnswer, DhcpQuestion } from './testing/dhcp-client.ts';
import { orderedMachine } from './testing/ordered-machine.ts';

const run = promisify(execFile);
const path = process.env['PATH'] ?? '';
const rackAddress = '10.77.0.1';
const url = `http://${rackAddress}:5248`;
const boxMac = '52:54:00:00:07:01';
/** Of a machine that the rack knows. */
const ownMac = '52:54:00:00:07:99';
const patienceMs = 90_000;

const own: RackNetwork = {
  name: 'prov',
  interface: 'br0',
  dhcp: 'Own',
  address: `${rackAddress}/24`,
  range: { from: '10.77.0.100', to: '10.77.0.150' },
  gateway: '10.77.0.254',
  ntpServers: ['10.77.0.253'],
};

describe('the networks of a rack, on a wire', requireTool('root', 'netns', 'dnsmasq', 'busybox'), () => {
  let lab: NamespaceNetwork;
  /** Goes before what is to run on a box's end of the wire. */
  let box: readonly string[];
  let folder: string;
  let rack: Rack;

  before(async () => {
    lab = await NamespaceNetwork.create({ name: `nb${process.pid % 100_000}`, address: own.address, path });
    box = await lab.addGuest('box', '10.77.0.9/24');
    // Where its broadcasts go.
    await inside(box, 'ip', 'route', 'add', 'default', 'dev', 'eth0');
  });
  after(() => lab.close());

  const plugIn = async () => {
    folder = await mkdtemp(join(tmpdir(), 'svg-networks-'));
    // dnsmasq looks into it as a user without rights.
    await chmod(folder, 0o755);
    rack = new Rack(lab, folder);
  };
  const unplug = async () => {
    await rack.stop();
    await rm(folder, { recursive: true, force: true });
  };

  const ask = async (...questions: DhcpQuestion[]): Promise<(DhcpAnswer | null)[]> => {
    const program = join(import.meta.dirname, 'testing/dhcp-client.ts');
    const { stdout } = await inside(box, process.execPath, program, JSON.stringify(questions));
    return JSON.parse(stdout) as (DhcpAnswer | null)[];
  };

  describe('with its own DHCP', () => {
    before(async () => {
      await plugIn();
      await rack.serve([own], [orderedMachine('a', ownMac, '10.77.0.42')]);
    });
    after(() => unplug());

    test('every firmware gets its loader, iPXE the script, and a plain system an address only', async () => {
      const answers = await ask(
        ...[0, 7, 9, 11].map((arch) => ({ mac: boxMac, arch })),
        ...[16, 19].map((arch) => ({ mac: boxMac, arch, vendor: 'HTTPClient' as const })),
        { mac: boxMac, arch: 0, isIpxe: true },
        { mac: boxMac, arch: 7, isIpxe: true },
        { mac: boxMac },
      );
      assert.deepEqual(
        answers.map((answer) => answer?.file),
        [
          'amd64/undionly.kpxe',
          'amd64/snponly.efi',
          'amd64/snponly.efi',
          'arm64/snponly.efi',
          `${url}/boot/amd64/snponly.efi`,
          `${url}/boot/arm64/snponly.efi`,
          `${url}/ipxe/boot.ipxe`,
          `${url}/ipxe/boot.ipxe`,
          '',
        ],
      );
      const vendorOf = (index: number) => text(answers[index]?.options['60']);
      assert.deepEqual([vendorOf(4), vendorOf(5)], ['HTTPClient', 'HTTPClient']);
      assert.equal(answers[6]?.options['175'], 'b00101ff', 'iPXE would wait for a proxyDHCP server');
      const plain = answers[8];
      assert.equal(plain?.options['3'], '0a4d00fe');
      assert.equal(plain?.options['42'], '0a4d00fd');
      assert.equal(new Set(answers.map((answer) => answer?.address)).size, 1);
      await rack.until('seen', (seen) => seen['event'] === 'Discover' && seen['bootMode'] === 'UEFI');
    });

    test('a machine gets its own address, whatever its firmware, iPXE and system call themselves; others one that stays', async () => {
      const stranger = '52:54:00:00:07:77';
      const [first, second, third, unknown, again] = await ask(
        { mac: ownMac, arch: 0, clientId: 'firmware', takes: true },
        { mac: ownMac, arch: 0, isIpxe: true, clientId: 'ipxe', takes: true },
        { mac: ownMac, clientId: 'linux', takes: true },
        { mac: stranger, clientId: 'one', takes: true },
        { mac: stranger, clientId: 'two', takes: true },
      );
      assert.deepEqual(
        [first, second, third].map((answer) => answer?.address),
        Array(3).fill('10.77.0.42'),
      );
      assert.equal(text(first?.options['12']), 'box-a');
      assert.equal(again?.address, unknown?.address);
      const lease = await rack.until(
        'seen',
        (seen) => seen['event'] === 'Lease' && seen['macAddress'] === stranger,
      );
      assert.equal(lease['address'], unknown?.address);
    });

    test('a new machine has its address without a restart of dnsmasq', async () => {
      const [pid] = await rack.dnsmasq();
      rack.order([own], [orderedMachine('b', '52:54:00:00:07:02', '10.77.0.43')]);
      await eventually(async () => {
        const [answer] = await ask({ mac: '52:54:00:00:07:02', arch: 0 });
        return answer?.address === '10.77.0.43';
      });
      assert.deepEqual(await rack.dnsmasq(), [pid]);
    });

    test('boot loaders come by TFTP and HTTP', async () => {
      const target = join(folder, 'fetched');
      await inside(box, busybox(), 'tftp', '-g', '-r', 'amd64/undionly.kpxe', '-l', target, rackAddress);
      assert.equal(await readFile(target, 'utf8'), 'amd64 undionly.kpxe');
      const { stdout } = await inside(
        box,
        busybox(),
        'wget',
        '-q',
        '-O',
        '-',
        `${url}/boot/arm64/snponly.efi`,
      );
      assert.equal(stdout, 'arm64 snponly.efi');
    });

    test('dnsmasq that is killed serves again', async () => {
      const [pid = assert.fail('no dnsmasq runs')] = await rack.dnsmasq();
      process.kill(pid, 'SIGKILL');
      await eventually(async () => (await rack.dnsmasq()).some((other) => other !== pid));
      await eventually(async () => (await ask({ mac: boxMac, arch: 0 }))[0]?.file === 'amd64/undionly.kpxe');
    });
  });

  describe('one after the other', () => {
    beforeEach(() => plugIn());
    afterEach(() => unplug());

    test('an agent that was killed leaves a dnsmasq, and the next agent takes its place and knows the leases', async () => {
      await rack.serve([own]);
      const [lease] = await ask({ mac: boxMac, takes: true });
      const [orphan] = await rack.dnsmasq();
      await rack.kill();
      assert.deepEqual(await rack.dnsmasq(), [orphan], 'boxes go on getting addresses');
      await rack.serve([own]);
      const old = await rack.until(
        'seen',
        (seen) => seen['event'] === 'Old' && seen['macAddress'] === boxMac,
      );
      assert.equal(old['address'], lease?.address);
      await eventually(async () => {
        const pids = await rack.dnsmasq();
        return pids.length === 1 && pids[0] !== orphan;
      });
    });

    test('an order that makes no sense is named, and the network is served as before', async () => {
      await rack.serve([own]);
      rack.order([{ ...own, range: { from: '10.78.0.1', to: '10.78.0.9' } }]);
      const broken = await rack.untilState(({ state }) => state === 'Failed');
      assert.match(broken.message ?? '', /range 10\.78\.0\.1 to 10\.78\.0\.9 must lie within/);
      assert.equal((await ask({ mac: boxMac, arch: 0 }))[0]?.file, 'amd64/undionly.kpxe');
      rack.order([own]);
      await rack.untilState(({ state }) => state === 'Serving');
      rack.order([{ ...own, interface: 'eth9' }]);
      const missing = await rack.untilState(({ message }) => message?.includes('eth9') === true);
      assert.match(missing.message ?? '', /there is no interface eth9/);
      rack.order([own]);
      await rack.untilState(({ state }) => state === 'Serving');
    });

    test('a DHCP server that should not be there is seen, also one of another network', async () => {
      const foreign = await lab.addGuest('rogue', '192.168.1.1/24');
      const server = await startDhcpServer(foreign, folder, '192.168.1');
      try {
        await rack.serve([own]);
        const state = await rack.untilState(({ otherServers }) => (otherServers ?? []).length > 0);
        assert.deepEqual(
          state.otherServers?.map(({ address }) => address),
          ['192.168.1.1'],
        );
        assert.equal(state.state, 'Serving');
      } finally {
        await server.stop();
      }
    });

    test('beside another DHCP server the rack only adds how to boot', async () => {
      const proxy: RackNetwork = { name: 'prov', interface: 'br0', dhcp: 'Proxy', address: own.address };
      await rack.serve([proxy]);
      const atPort4011 = (question: Omit<DhcpQuestion, 'mac'>): DhcpQuestion => ({
        mac: boxMac,
        ...question,
        proxy: { server: rackAddress, own: '10.77.0.9' },
      });
      const answers = await ask(
        { mac: boxMac, arch: 0 },
        { mac: boxMac, arch: 7 },
        { mac: boxMac, arch: 16, vendor: 'HTTPClient' },
        { mac: boxMac, arch: 7, isIpxe: true },
        atPort4011({ arch: 0 }),
        atPort4011({ arch: 7 }),
        atPort4011({ arch: 11 }),
      );
      assert.deepEqual(
        answers.map((answer) => answer?.file),
        [
          'amd64/undionly.kpxe',
          'amd64/snponly.efi',
          `${url}/boot/amd64/snponly.efi`,
          `${url}/ipxe/boot.ipxe`,
          'amd64/undionly.kpxe',
          'amd64/snponly.efi',
          'arm64/snponly.efi',
        ],
      );
      assert.deepEqual([...new Set(answers.slice(0, 4).map((answer) => answer?.address))], ['0.0.0.0']);
      assert.equal(text(answers[2]?.options['60']), 'HTTPClient');
      assert.deepEqual(
        await ask({ mac: boxMac }),
        [null],
        'a system that does not boot is none of its business',
      );
    });

    test('where another server says how to boot, the rack serves the files and answers no DHCP', async () => {
      await rack.serve([{ name: 'prov', interface: 'br0', dhcp: 'External', address: own.address }]);
      assert.deepEqual(await ask({ mac: boxMac, arch: 7, isInVain: true }), [null]);
      const target = join(folder, 'fetched');
      await inside(box, busybox(), 'tftp', '-g', '-r', 'amd64/snponly.efi', '-l', target, rackAddress);
      assert.equal(await readFile(target, 'utf8'), 'amd64 snponly.efi');
    });

    test('a network that is ordered no more is served no more', async () => {
      await rack.serve([own]);
      rack.order([]);
      await eventually(async () => (await rack.dnsmasq()).length === 0);
      // The boot server goes after it.
      await eventually(() =>
        inside(box, busybox(), 'wget', '-q', '-O', '-', `${url}/ipxe/boot.ipxe`).then(
          () => false,
          () => true,
        ),
      );
    });
  });
});

type NetworkState = RackReport['networks'][number];

/** The rack's networks in their own process, in the namespace of the lab. */
class Rack {
  readonly #lab: NamespaceNetwork;
  readonly #folder: string;
  #child: ChildProcessByStdio<Writable, Readable, null> | undefined;
  #told: Record<string, unknown>[] = [];

  constructor(lab: NamespaceNetwork, folder: string) {
    this.#lab = lab;
    this.#folder = folder;
  }

  /** Starts it, and waits until all networks are served. */
  async serve(networks: readonly RackNetwork[], machines: readonly MachineOrder[] = []): Promise<void> {
    const [program = '', ...before] = this.#lab.enter;
    const script = join(import.meta.dirname, 'testing/rack-networks-program.ts');
    this.#told = [];
    this.#child = spawn(program, [...before, process.execPath, script, this.#folder], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    createInterface({ input: this.#child.stdout }).on('line', (line) => {
      this.#told.push(JSON.parse(line) as Record<string, unknown>);
    });
    this.order(networks, machines);
    await this.untilState(({ state }) => state === 'Serving');
  }

  order(networks: readonly RackNetwork[], machines: readonly MachineOrder[] = []): void {
    // What was told before is about the order before.
    this.#told = this.#told.filter((told) => told['states'] === undefined);
    this.#child?.stdin.write(`${JSON.stringify({ networks, machines })}\n`);
  }

  async until(
    kind: 'seen',
    isIt: (told: Record<string, unknown>) => boolean,
  ): Promise<Record<string, unknown>> {
    const find = () =>
      this.#told.map((told) => told[kind] as Record<string, unknown>).find((told) => told && isIt(told));
    await eventually(() => find() !== undefined);
    return find() ?? {};
  }

  async untilState(isIt: (state: NetworkState) => boolean): Promise<NetworkState> {
    const find = () =>
      this.#told
        .flatMap((told) => (told['states'] as NetworkState[] | undefined) ?? [])
        .find((state) => isIt(state));
    try {
      await eventually(() => find() !== undefined);
    } catch (error) {
      throw new Error(`${JSON.stringify(this.#told.slice(-5))}`, { cause: error });
    }
    return find() as NetworkState;
  }

  /** Processes that serve from our folder. */
  async dnsmasq(): Promise<number[]> {
    const pids: number[] = [];
    for (const name of await readdir('/proc')) {
      const commandLine = await readFile(`/proc/${name}/cmdline`, 'utf8').catch(() => '');
      if (commandLine.includes(`--conf-file=${this.#folder}/`) && !commandLine.includes('--test'))
        pids.push(Number(name));
    }
    return pids;
  }

  async kill(): Promise<void> {
    this.#child?.kill('SIGKILL');
    await eventually(() => this.#child?.signalCode === 'SIGKILL');
  }

  async stop(): Promise<void> {
    const child = this.#child;
    if (child !== undefined && child.exitCode === null && child.signalCode === null) {
      child.kill('SIGTERM');
      await eventually(() => child.exitCode !== null || child.signalCode !== null);
    }
    for (const pid of await this.dnsmasq()) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It has just ended by itself.
      }
    }
  }
}

/** A plain DHCP server as somebody plugs one in. */
async function startDhcpServer(enter: readonly string[], folder: string, subnet: string) {
  const config = join(folder, 'foreign.conf');
  const lines = [
    'port=0',
    'interface=eth0',
    'bind-dynamic',
    'user=root',
    'no-ping',
    `dhcp-range=${subnet}.100,${subnet}.150,255.255.255.0,5m`,
    `dhcp-leasefile=${join(folder, 'foreign.leases')}`,
  ];
  await writeFile(config, `${lines.join('\n')}\n`);
  const [program = '', ...before] = enter;
  const child = spawn(
    program,
    [...before, 'dnsmasq', '--keep-in-foreground', '--log-facility=-', '-C', config],
    {
      stdio: 'ignore',
    },
  );
  return {
    stop: async () => {
      child.kill('SIGKILL');
      await eventually(() => child.signalCode !== null || child.exitCode !== null);
    },
  };
}

function inside(enter: readonly string[], ...command: readonly string[]): Promise<{ stdout: string }> {
  const [program = '', ...args] = [...enter, ...command];
  return run(program, args, { timeout: patienceMs });
}

const busybox = () => getTool('busybox');

const text = (hex: string | undefined) =>
  Buffer.from(hex ?? '', 'hex')
    .toString('latin1')
    .replace(/\0+$/, '');

async function eventually(isSo: () => boolean | Promise<boolean>): Promise<void> {
  for (let waited = 0; waited < patienceMs; waited += 200) {
    if (await isSo()) return;
    await systemClock.sleep(200);
  }
  throw new Error('it did not come to pass');
}
