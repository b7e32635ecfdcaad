import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parse } from 'yaml';
import { faultOfNetworkConfig, seedNetworkConfig } from './network-config.ts';

const bondWithVlan = `
version: 2
ethernets:
  one: {match: {macaddress: "52:54:00:00:00:01"}, set-name: one}
  two: {match: {macaddress: 52:54:00:00:00:02}, set-name: two}
bonds:
  bond0: {interfaces: [one, two], parameters: {mode: 802.3ad, mii-monitor-interval: 100}}
vlans:
  bond0.100:
    id: 100
    link: bond0
    dhcp4: no
    addresses: [10.1.0.7/24] # of the shop
    routes: [{to: 0.0.0.0/0, via: 10.1.0.1}]
`;

test('version 1 and 2 are network configuration, also below network:', () => {
  for (const text of [
    bondWithVlan,
    `network:\n${bondWithVlan.replaceAll('\n', '\n  ')}`,
    '{"network": {"version": 1, "config": []}}',
    '# of the shop\n\nversion: 1\nconfig: []\n',
    "'version': 2\n",
    'one: &one {dhcp4: true}\nnetwork: {version: 2, ethernets: {one: *one}}\n',
  ]) {
    assert.equal(faultOfNetworkConfig(text), undefined, text);
  }
});

test('what cloud-init would take for nothing is none', () => {
  for (const text of [
    '',
    'ethernets: {}',
    'version: 3\n',
    'ethernets:\n  version: 2\n',
    'version: 2\nethernets: {\n',
    'auto eth0\niface eth0 inet dhcp\n',
    '[version: 2]',
    'network: [version, 2]',
    // As text these are no version.
    'version: "2"\n',
    "network: {version: '1'}\n",
    'version: !!str 2\n',
    'version: |\n  2\n',
  ]) {
    assert.match(faultOfNetworkConfig(text) ?? '', /version: 1 or version: 2/, text);
  }
});

test('the seed has no network: around it, and every value as it was written', () => {
  const wrapped = `# netplan\nnetwork:${bondWithVlan.replaceAll('\n', '\n  ')}\n`;
  const text = seedNetworkConfig(wrapped);
  assert.ok(!text.includes('network:'));
  // As text, and as a reader of YAML 1.1, which takes this address for a number and `no` for false.
  for (const version of ['1.1', '1.2'] as const) {
    assert.deepEqual(parse(text, { version }), parse(bondWithVlan, { version }));
  }
  assert.match(text, /macaddress: 52:54:00:00:00:02/);
  assert.match(text, /dhcp4: no\n/);
  assert.equal(seedNetworkConfig(bondWithVlan), bondWithVlan);
  assert.deepEqual(JSON.parse(seedNetworkConfig('{"network": {"version": 2}}')), { version: 2 });
});

const nested = (levels: number) => `network: {version: 2, e: ${'{a: '.repeat(levels)}b${'}'.repeat(levels)}}`;

test('what other programs could not walk through or print is none', () => {
  assert.match(faultOfNetworkConfig('version: 2\ne: *nowhere\n') ?? '', /alias/);
  assert.equal(faultOfNetworkConfig(nested(40)), undefined);
  assert.match(faultOfNetworkConfig(nested(60)) ?? '', /50 deep/);
  assert.match(faultOfNetworkConfig(`version: 2\ne: ${'['.repeat(60)}${']'.repeat(60)}\n`) ?? '', /50 deep/);
  for (const text of [nested(1080), nested(3000), '['.repeat(16_000), '? '.repeat(8_000)]) {
    assert.ok(faultOfNetworkConfig(text));
  }
});

test('a text that is no document of its own without what is around it, or cannot be read, is the seed as it is', () => {
  for (const text of [
    'd: &-x {dhcp4: true}\nnetwork: {version: 2, e: *-x}\n',
    'd: &ä {dhcp4: true}\nnetwork: {version: 2, e: *ä}\n',
    'network: {version: 2, e: *nowhere}\n',
    'network: {version: 2',
    'network: 2',
    nested(1080),
    nested(3000),
  ]) {
    assert.equal(seedNetworkConfig(text), text);
  }
});
