import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MachineSpec } from '@selvedge/api';
import { machineWith } from '../gateway/testing/machine-reports.ts';
import { validateMachine, validateProvision } from './validate-machine.ts';

const fieldsOf = (errors: readonly { readonly field: string }[]) => errors.map(({ field }) => field);

const faults = (spec: Partial<MachineSpec>, before?: Partial<MachineSpec>) =>
  fieldsOf(validateMachine(machineWith('m', spec), before && machineWith('m', before)));

test('what an earlier hub took stays while other fields change, and is refused where it is new', () => {
  const provision = { image: 'Not a name', hostname: 'a.b', networkConfig: 'version: "2"\n' };
  const bmc = { type: 'IPMI', address: '10.0.0.9', cipherSuite: 0 } as const;
  const all = [
    'spec.bmc.cipherSuite',
    ...['image', 'hostname', 'networkConfig'].map((f) => `spec.provision.${f}`),
  ];
  assert.deepEqual(faults({ bmc, provision }), all);
  assert.deepEqual(faults({ bmc, provision }, {}), all);
  assert.deepEqual(faults({ bmc, provision, power: 'On' }, { bmc, provision }), []);
  const other = { ...provision, hostname: 'c.d', networkConfig: 'version: "1"\n' };
  assert.deepEqual(faults({ bmc, provision: other }, { bmc, provision }), [
    'spec.provision.hostname',
    'spec.provision.networkConfig',
  ]);
  assert.deepEqual(faults({ bmc }, { bmc: { ...bmc, cipherSuite: 3 } }), ['spec.bmc.cipherSuite']);
});

test('network configuration that cannot be used is told with its field and why', () => {
  const [error] = validateProvision({ networkConfig: 'network: {version: 2, e: *-x}' }, undefined, 'spec');
  assert.equal(error?.field, 'spec.networkConfig');
  assert.match(error?.message ?? '', /alias/);
});
