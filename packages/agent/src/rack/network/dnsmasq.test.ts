import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { dhcpModes, type RackNetwork } from '@selvedge/api';
import { getTool, requireTool } from '@selvedge/testkit';
import fc from 'fast-check';
import { discoverPacket, parseOffer } from './dhcp-probe.ts';
import { dnsmasqConfig, dnsmasqHosts } from './dnsmasq-config.ts';
import { DnsmasqLog, parseLeases } from './dnsmasq-log.ts';
import { checkDnsmasqConfig } from './dnsmasq-process.ts';
import { planNetwork } from './network-plan.ts';

const own: RackNetwork = {
  name: 'prov',
  interface: 'eth1',
  dhcp: 'Own',
  address: '10.10.0.1/24',
  range: { from: '10.10.0.100', to: '10.10.0.200' },
  dnsServers: ['10.10.0.2', '10.10.0.3'],
  ntpServers: ['10.10.0.4'],
};

const configOf = (network: RackNetwork, more: { user?: string; ipv6Network?: string } = {}) =>
  dnsmasqConfig({
    network: planNetwork(network),
    hostsFile: '/run/rack/hosts',
    leaseFile: '/var/lib/rack/leases',
    tftpRoot: '/run/rack/tftp',
    port: 5248,
    ...more,
  });

describe('the configuration of dnsmasq', requireTool('dnsmasq'), () => {
  let folder: string;
  before(async () => (folder = await mkdtemp(join(tmpdir(), 'svg-dnsmasq-'))));
  after(() => rm(folder, { recursive: true, force: true }));

  const complaint = async (config: string) => {
    const file = join(folder, 'dnsmasq.conf');
    await writeFile(file, config);
    return checkDnsmasqConfig(getTool('dnsmasq'), file);
  };

  for (const dhcp of dhcpModes) {
    test(`with ${dhcp} is what dnsmasq itself takes`, async () => {
      assert.equal(await complaint(configOf({ ...own, dhcp })), undefined);
    });
  }

  test('with a user, router advertisements and no range as well', async () => {
    const { range: _, ...closed } = own;
    assert.equal(await complaint(configOf(own, { user: 'nobody', ipv6Network: 'fd77::' })), undefined);
    assert.equal(await complaint(configOf(closed)), undefined);
  });

  test('what dnsmasq refuses comes back in its words', async () => {
    assert.match((await complaint('dhcp-range=nonsense\n')) ?? '', /refuses its configuration.*dhcp-range/s);
  });

  test('a dnsmasq that is not there says what to install', async () => {
    assert.match(
      (await checkDnsmasqConfig('/nowhere/dnsmasq', 'x')) ?? '',
      /install the package dnsmasq-base/,
    );
  });

  test('answers no DHCP where another server says how to boot', () => {
    assert.doesNotMatch(configOf({ ...own, dhcp: 'External' }), /dhcp/);
  });

  test('gives strangers an address for a short while, and machines for as long as the network says', () => {
    const long = { ...own, leaseSeconds: 86_400 };
    assert.match(configOf(long), /^dhcp-range=10\.10\.0\.100,10\.10\.0\.200,255\.255\.255\.0,300$/m);
    const hosts = dnsmasqHosts(planNetwork(long), [
      { uid: 'a', macAddress: '52:54:00:00:00:01', address: '10.10.0.7', hostname: 'till-7' },
      { uid: 'b', macAddress: '52:54:00:00:00:02', address: '10.10.0.8', hostname: '' },
    ]);
    assert.equal(hosts, '52:54:00:00:00:01,10.10.0.7,till-7,86400\n52:54:00:00:00:02,10.10.0.8,86400\n');
  });
});

describe('the log of dnsmasq', () => {
  const sights = (...lines: string[]) => {
    const log = new DnsmasqLog();
    return lines.flatMap((line) => log.read(line) ?? []);
  };

  test('tells who asked with which firmware, and who has which address', () => {
    assert.deepEqual(
      sights(
        'dnsmasq-dhcp[5467]: 323476784 available DHCP range: 10.77.0.100 -- 10.77.0.200',
        'dnsmasq-dhcp[5467]: 323476784 vendor class: PXEClient:Arch:00007:UNDI:002001',
        'dnsmasq-dhcp[5467]: 323476784 DHCPDISCOVER(br0) 52:54:00:00:00:01 ',
        'dnsmasq-dhcp[5467]: 323476784 DHCPOFFER(br0) 10.77.0.150 52:54:00:00:00:01 ',
        'dnsmasq-dhcp[5467]: 4 DHCPDISCOVER(br0) 52:54:00:00:00:02 ',
        'dnsmasq-dhcp[5467]: 323476784 DHCPACK(br0) 10.77.0.150 52:54:00:00:00:01 n1',
        'dnsmasq-dhcp[5467]: 9 DHCPRELEASE(br0) 10.77.0.150 52:54:00:00:00:01 ',
        'dnsmasq-dhcp[5467]: 9 PXE(br0) 52:54:00:00:00:03 proxy',
        'dnsmasq-dhcp[5467]: 9 DHCPNAK(br0) 10.77.0.7 52:54:00:00:00:04 wrong server-ID',
        'dnsmasq-dhcp[5467]: 9 DHCPNAK(br0) 10.77.0.7 52:54:00:00:00:04 address in use',
      ),
      [
        { event: 'Discover', macAddress: '52:54:00:00:00:01', bootMode: 'UEFI' },
        { event: 'Discover', macAddress: '52:54:00:00:00:02' },
        { event: 'Lease', macAddress: '52:54:00:00:00:01', address: '10.77.0.150', bootMode: 'UEFI' },
        { event: 'Deleted', macAddress: '52:54:00:00:00:01', address: '10.77.0.150' },
        { event: 'Discover', macAddress: '52:54:00:00:00:03' },
        { event: 'OtherServer', macAddress: '52:54:00:00:00:04' },
      ],
    );
  });

  test('a client cannot make up events by what it calls itself', () => {
    assert.deepEqual(
      sights(
        'dnsmasq-dhcp[1]: 7 client provides name: DHCPACK(br0) 10.77.0.9 52:54:00:00:00:09',
        'dnsmasq-dhcp[1]: 7 user class: DHCPRELEASE(br0) 10.77.0.9 52:54:00:00:00:09',
        'dnsmasq-tftp[1]: file DHCPACK(br0) 10.77.0.9 52:54:00:00:00:09 not found',
      ),
      [],
    );
  });

  test('leases are read from its file, IPv6 and torn lines are not', () => {
    const file = [
      '1795355889 52:54:00:00:00:01 10.77.0.162 box-1 *',
      'duid 00:01:00:01:2e',
      '1795355889 123456 fd77::5 * 00:01',
      '17953558',
      '',
    ].join('\n');
    assert.deepEqual(parseLeases(file), [{ macAddress: '52:54:00:00:00:01', address: '10.77.0.162' }]);
  });
});

describe('the probe for other DHCP servers', () => {
  const offer = (transaction: number, options: readonly number[]) => {
    const packet = discoverPacket(transaction);
    packet[0] = 2;
    packet.fill(0, 240);
    packet.set(options, 240);
    return packet;
  };

  test('an offer for its own question names the server', () => {
    const options = [53, 1, 2, 0, 54, 4, 192, 168, 1, 1, 255];
    assert.equal(parseOffer(offer(77, options), 77), '192.168.1.1');
    assert.equal(parseOffer(offer(78, options), 77), undefined);
    assert.equal(parseOffer(offer(77, [53, 1, 5, 54, 4, 1, 2, 3, 4, 255]), 77), undefined);
  });

  test('hostile packets do no harm', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), fc.boolean(), (bytes, isWhole) => {
        const packet = isWhole ? offer(77, [...bytes].slice(0, 60)) : Buffer.from(bytes);
        const found = parseOffer(packet, 77);
        assert.ok(found === undefined || /^\d+(\.\d+){3}$/.test(found));
      }),
    );
  });
});
