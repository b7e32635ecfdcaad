import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Site } from '@selvedge/api';
import type { MetricRegistry } from '@selvedge/apiserver';
import type { KnownMachine } from '../gateway/machine-directory.ts';
import { machineWith, observedTime } from '../gateway/testing/machine-reports.ts';
import { addMachineMetrics } from './machine-metrics.ts';

test('metrics count machines by where they are, and what is wrong with racks', async () => {
  const known = (over: Partial<KnownMachine>): KnownMachine => ({
    ...machineWith('m'),
    isOrdered: true,
    ...over,
  });
  const discovered = { siteName: 'berlin', identity: {}, accepted: false };
  const machines = [
    known({ spec: discovered, phase: 'New' }),
    known({ phase: 'Available', operationalStatus: 'OK' }),
    known({ phase: 'Provisioning', operationalStatus: 'Error', errorReason: 'DiskTooSmall' }),
    known({}),
  ];
  const other = { address: '10.0.0.9', lastSeenTime: observedTime };
  const site: Site = {
    apiVersion: 'selvedge.dev/v1alpha1',
    kind: 'Site',
    metadata: { name: 'berlin' },
    spec: {},
    status: {
      rack: {
        observedTime,
        networks: [{ name: 'lab', interface: 'eth1', state: 'Failed', otherServers: [other] }],
        images: [],
        discoveryFull: { limit: 200, turnedAway: 7, lastSeenTime: observedTime },
      },
    },
  };
  const read = new Map<string, Parameters<MetricRegistry['read']>[1]>();
  const registry: Pick<MetricRegistry, 'read'> = {
    read: ({ name }, values) => void read.set(name, values),
  };
  addMachineMetrics(registry as MetricRegistry, {
    gateway: { machines: () => machines, sites: () => [site] },
  });
  const valuesOf = async (name: string) => {
    const values = (await read.get(name)?.()) ?? [];
    const entries = [...values].map(([labels, value]) => [labels.join(), value] as const);
    return Object.fromEntries(entries.filter(([, value]) => value > 0));
  };
  assert.deepEqual(await valuesOf('selvedge_machines'), {
    Discovered: 1,
    Available: 1,
    Provisioning: 1,
    Unknown: 1,
  });
  assert.deepEqual(await valuesOf('selvedge_machine_operations'), { OK: 1, Error: 1, Unknown: 2 });
  assert.deepEqual(await valuesOf('selvedge_machine_errors'), { DiskTooSmall: 1 });
  assert.deepEqual(await valuesOf('selvedge_rack_networks'), { Failed: 1 });
  assert.deepEqual(await valuesOf('selvedge_rack_other_dhcp_servers'), { '': 1 });
  assert.deepEqual(await valuesOf('selvedge_rack_boxes_turned_away'), { '': 7 });
});
