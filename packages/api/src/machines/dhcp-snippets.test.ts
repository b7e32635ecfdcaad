import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { bootLoaders } from './boot-loaders.ts';
import { dhcpServers, dhcpSnippet } from './dhcp-snippets.ts';

const rack = { rackAddress: '10.10.0.1', port: 5999 };

describe('what another DHCP server needs', () => {
  for (const server of dhcpServers) {
    test(`${server} is told the loader of every firmware and the script for iPXE`, () => {
      const text = dhcpSnippet(server, rack);
      assert.ok(text.includes('http://10.10.0.1:5999/ipxe/boot.ipxe'));
      for (const { file, transport } of bootLoaders) {
        assert.ok(text.includes(transport === 'HTTP' ? `http://10.10.0.1:5999/boot/${file}` : file), file);
      }
    });
  }

  test('iPXE itself gets the script, not a loader again', () => {
    const kea = JSON.parse(dhcpSnippet('kea', rack)) as {
      'client-classes': { name: string; test: string }[];
    };
    for (const { name, test: condition } of kea['client-classes']) {
      if (name !== 'selvedge-ipxe') assert.match(condition, / and not \(option\[77\]\.hex == 'iPXE'\)$/);
    }
    assert.match(dhcpSnippet('dhcpd', rack), /^if exists user-class .*\n.*boot\.ipxe";\n\} elsif/m);
    const loaders = dhcpSnippet('dnsmasq', rack).match(/^dhcp-boot=tag:arch\d+,tag:!ipxe,/gm);
    assert.equal(loaders?.length, bootLoaders.length);
  });

  test('the port is the usual one unless said', () => {
    assert.ok(dhcpSnippet('dhcpd', { rackAddress: '10.10.0.1' }).includes('http://10.10.0.1:5248/'));
  });
});
