import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import {
  type KubeObject,
  type Machine,
  type MachineClaim,
  type MachineImage,
  type MachineSpec,
  machineClaims,
  machineImages,
  machines,
  machineScripts,
  machineTags,
  type ObjectClient,
  type RackSpec,
  type ResourceRef,
  type Site,
  sites,
  StatusError,
} from '@selvedge/api';
import { machineWith, rackSpec } from '../gateway/testing/machine-reports.ts';
import { ResourceLab } from './testing/resource-lab.ts';

const apiVersion = 'selvedge.dev/v1alpha1';
const digest = `sha256:${'a'.repeat(64)}`;
const secretRef = { namespace: 'ops', name: 'bmc' };

let lab: ResourceLab;
let operator: ObjectClient;
let wiper: ObjectClient;
let count = 0;

before(async () => {
  lab = await ResourceLab.start();
  await lab.makeRole('secret-reader', [{ verbs: ['get'], apiGroups: [''], resources: ['secrets'] }]);
  await lab.makeRole('image-writer', [
    {
      verbs: ['create', 'update', 'patch'],
      apiGroups: ['selvedge.dev'],
      resources: ['machineimages', 'machines'],
    },
  ]);
  await lab.bind('olga', 'selvedge:machine-operator');
  await lab.bind('olga', 'image-writer');
  await lab.bind('will', 'selvedge:machine-operator');
  await lab.bind('will', 'selvedge:machine-wiper');
  operator = lab.as('olga');
  wiper = lab.as('will');
});
after(() => lab[Symbol.asyncDispose]());

/** A Machine that nobody else has. */
async function madeMachine(spec: Partial<MachineSpec> = {}): Promise<string> {
  const name = `m${++count}`;
  await lab.admin.create<Machine>(machines, machineWith(name, spec));
  return name;
}

const change = (client: ObjectClient, name: string, spec: object) =>
  client.mergePatch<Machine>(machines, { name }, { spec });

async function refused(write: Promise<unknown>, reason: string, ...parts: readonly string[]): Promise<void> {
  await assert.rejects(write, (error: unknown) => {
    assert.ok(error instanceof StatusError);
    assert.equal(error.reason, reason, error.message);
    for (const part of parts) assert.ok(error.message.includes(part), error.message);
    return true;
  });
}

describe('consent to lose data', () => {
  test('needs the verb wipe on the machine, and its name', async () => {
    const name = await madeMachine();
    await refused(
      change(operator, name, { wipeConsent: name }),
      'Forbidden',
      'spec.wipeConsent',
      'machine-wiper',
    );
    await refused(
      change(lab.admin, name, { wipeConsent: 'another' }),
      'Invalid',
      'spec.wipeConsent',
      `"${name}"`,
    );
    await change(wiper, name, { wipeConsent: name });
    await change(operator, name, { power: 'On' });
    await change(operator, name, { wipeConsent: null });
    await refused(change(operator, name, { wipeConsent: name }), 'Forbidden');
  });

  test('is asked for an erase too, and each time another one is wanted', async () => {
    const name = await madeMachine();
    await change(operator, name, { release: { erase: 'None' } });
    await refused(change(operator, name, { release: { erase: 'Quick' } }), 'Forbidden', 'spec.release.erase');
    await change(wiper, name, { release: { erase: 'Quick' } });
    await refused(change(operator, name, { release: { erase: 'Secure' } }), 'Forbidden');
    await change(operator, name, { release: null });
  });

  test('is asked when what kept the data safe is taken away', async () => {
    for (const field of ['protected', 'externallyProvisioned']) {
      const name = await madeMachine({ [field]: true });
      await change(wiper, name, { wipeConsent: name });
      await refused(change(operator, name, { [field]: false }), 'Forbidden', `spec.${field}`);
      await refused(change(operator, name, { [field]: null }), 'Forbidden', `spec.${field}`);
      await change(wiper, name, { [field]: null });
      const free = await madeMachine({ [field]: true });
      await change(operator, free, { [field]: null });
    }
  });

  test('is for the box, the image and the disk that stood there: others need the verb again', async () => {
    const provision = { image: 'debian', instanceId: 'one' };
    const name = await madeMachine({ provision });
    await change(wiper, name, { wipeConsent: name });
    const identity = { macAddresses: ['52:54:00:00:77:77'] };
    await refused(change(operator, name, { identity }), 'Forbidden', 'spec.identity', 'machine-wiper');
    for (const over of [
      { image: 'other' },
      { instanceId: 'two' },
      { rootDevice: { deviceName: '/dev/sdb' } },
    ]) {
      await refused(change(operator, name, { provision: over }), 'Forbidden', 'spec.provision');
    }
    await change(operator, name, { provision: { hostname: 'web-1' } });
    await change(wiper, name, { release: { erase: 'Quick' } });
    await refused(change(operator, name, { provision: null }), 'Forbidden', 'spec.provision');
    await change(operator, name, { release: null });
    await change(operator, name, { provision: null });
    await refused(change(operator, name, { provision }), 'Forbidden', 'spec.provision');
    await change(wiper, name, { provision, identity });
    await change(operator, name, { wipeConsent: null, provision: { image: 'other' } });
  });

  test('of a claim is for the machine of the claim, and needs the verb on that', async () => {
    const claim = (name: string, spec: MachineClaim['spec']): MachineClaim => ({
      apiVersion,
      kind: 'MachineClaim',
      metadata: { name },
      spec,
    });
    const create = (client: ObjectClient, object: MachineClaim) =>
      client.create<MachineClaim>(machineClaims, object);
    const release = { erase: 'Quick' as const, wipeConsent: 'm1' };
    await refused(
      create(operator, claim('c1', { machineName: 'm1', release })),
      'Forbidden',
      'spec.release.wipeConsent',
    );
    await refused(create(wiper, claim('c2', { machineName: 'm2', release })), 'Invalid', '"m2"');
    await refused(create(wiper, claim('c3', { release })), 'Invalid', 'status.machineName');
    await create(wiper, claim('c4', { machineName: 'm1', release }));
    await create(operator, claim('c5', {}));
    const chosen = await lab.admin.get<MachineClaim>(machineClaims, { name: 'c5' });
    await lab.admin.updateStatus(machineClaims, { ...chosen, status: { machineName: 'm7' } });
    const consent = (client: ObjectClient, wipeConsent: string) =>
      client.mergePatch(machineClaims, { name: 'c5' }, { spec: { release: { wipeConsent } } });
    await refused(consent(wiper, 'm1'), 'Invalid', '"m7"');
    await refused(consent(operator, 'm7'), 'Forbidden');
    await consent(wiper, 'm7');
  });
});

describe('Secrets that machines name', () => {
  test('have to be readable for who writes, and for who changes where they go', async () => {
    const bmc = { type: 'Redfish' as const, address: 'https://10.0.0.9', secretRef };
    const name = await madeMachine();
    await refused(change(operator, name, { bmc }), 'Forbidden', 'spec.bmc.secretRef', '"bmc"', '"ops"');
    const own = await madeMachine({ bmc });
    await change(operator, own, { power: 'Off' });
    await refused(change(operator, own, { bmc: { address: 'https://10.6.6.6' } }), 'Forbidden');
    const provision = { image: 'debian', userData: { secretRef } };
    const given = await madeMachine({ provision });
    const identity = { macAddresses: ['52:54:00:00:66:66'] };
    await refused(change(operator, given, { identity }), 'Forbidden', 'spec.provision.userData.secretRef');
    await lab.bind('olga', 'secret-reader');
    await change(operator, given, { identity });
    await change(operator, name, { bmc });
  });
});

describe('ways in', () => {
  const key = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOyxNQd1Ww root@here';
  const rescue = { authorizedKeys: [key] };

  test('keys of the rescue system need the console of the machine, and its Secrets', async () => {
    const name = await madeMachine();
    await refused(
      change(operator, name, { rescue }),
      'Forbidden',
      'rescue.authorizedKeys',
      'machines/console',
    );
    await change(operator, name, { rescue: {} });
    await lab.bind('carl', 'selvedge:machine-operator');
    await lab.bind('carl', 'selvedge:machine-console');
    const carl = lab.as('carl');
    await change(carl, name, { rescue });
    await change(operator, name, { power: 'On' });
    await refused(
      change(operator, name, { identity: { uuid: '11111111-2222-3333-4444-555555555555' } }),
      'Forbidden',
    );
    const given = await madeMachine({ provision: { image: 'debian', userData: { secretRef } } });
    await refused(change(carl, given, { rescue }), 'Forbidden', 'spec.provision.userData.secretRef');
  });

  test('the address of a console is in the network of the site, and needs its proxy', async () => {
    const bmc = { type: 'Manual' as const, console: 'tcp://10.0.0.5:2001' };
    const name = await madeMachine();
    await refused(
      change(operator, name, { bmc }),
      'Forbidden',
      'spec.bmc.console',
      'sites/proxy',
      '"berlin"',
    );
    await lab.bind('petra', 'selvedge:machine-operator');
    await lab.bind('petra', 'selvedge:site-operator');
    await change(lab.as('petra'), name, { bmc });
    await change(operator, name, { power: 'On' });
    await refused(change(operator, name, { bmc: { console: 'tcp://127.0.0.1:5432' } }), 'Forbidden');
    await change(operator, name, { bmc: { console: null } });
  });
});

describe('MachineImages', () => {
  const image = (name: string, spec: Partial<MachineImage['spec']> = {}): MachineImage => ({
    apiVersion,
    kind: 'MachineImage',
    metadata: { name },
    spec: { reference: `hub.example/os/${name}@${digest}`, digest, sizeBytes: 5, ...spec },
  });
  const create = (client: ObjectClient, object: MachineImage) =>
    client.create<MachineImage>(machineImages, object);

  test('are of namespaces whose images the writer may pull', async () => {
    await refused(create(operator, image('a', { namespace: 'os' })), 'Forbidden', 'namespace "os"');
    await lab.bind('olga', 'selvedge:image-puller');
    await create(operator, image('a', { namespace: 'os' }));
  });

  test('cannot become another content under their name', async () => {
    await create(lab.admin, image('fixed'));
    const patch = (spec: object) => lab.admin.mergePatch(machineImages, { name: 'fixed' }, { spec });
    await refused(patch({ digest: `sha256:${'b'.repeat(64)}` }), 'Invalid', 'spec.digest');
    await refused(patch({ reference: `hub.example/os/other@${digest}` }), 'Invalid', 'spec.reference');
    await patch({ description: 'Debian', diskBytes: 10 });
    await refused(patch({ diskBytes: 11 }), 'Invalid', 'spec.diskBytes');
  });

  test('name their artifact by digest, and their layer when it is a disk', async () => {
    await refused(
      create(lab.admin, image('tag', { reference: 'hub.example/os/x:1' })),
      'Invalid',
      'spec.reference',
    );
    const { digest: _digest, ...rest } = image('bare').spec;
    await refused(create(lab.admin, { ...image('bare'), spec: rest }), 'Invalid', 'spec.digest');
    await refused(create(lab.admin, image('system', { type: 'Inspection' })), 'Invalid', 'spec.digest');
    const reference = `hub.example/os/system@${digest}`;
    await create(lab.admin, { ...image('system'), spec: { type: 'Inspection', reference } });
  });
});

describe('what cannot be right', () => {
  const wrong: readonly (readonly [path: string, spec: object])[] = [
    ['spec.identity', { identity: {} }],
    ['spec.identity.serials[0]', { identity: { serials: ['To Be Filled By O.E.M.'] } }],
    ['spec.identity.uuid', { identity: { uuid: 'ffffffff-ffff-ffff-ffff-ffffffffffff' } }],
    ['spec.identity.macAddresses[0]', { identity: { macAddresses: ['01:00:5e:00:00:01'] } }],
    ['spec.address', { address: '10.0.0' }],
    ['spec.bmc.address', { bmc: { type: 'Redfish' } }],
    ['spec.bmc.address', { bmc: { type: 'Redfish', address: 'https://root:calvin@10.0.0.9' } }],
    ['spec.bmc.address', { bmc: { type: 'IPMI', address: 'https://10.0.0.9' } }],
    ['spec.bmc.address', { bmc: { type: 'IPMI', address: '-o option' } }],
    ['spec.bmc.cipherSuite', { bmc: { type: 'IPMI', address: '10.0.0.9', cipherSuite: 0 } }],
    ['spec.bmc.address', { bmc: { type: 'WakeOnLAN', address: 'broadcast' } }],
    ['spec.bmc.address', { bmc: { type: 'Manual', address: 'x' } }],
    ['spec.bmc.caCertificate', { bmc: { type: 'Redfish', address: 'https://b', caCertificate: 'x' } }],
    ['spec.bmc.console', { bmc: { type: 'Manual', console: 'telnet://a:1' } }],
    ['spec.bmc.quirks[0]', { bmc: { type: 'Manual', quirks: ['Magic'] } }],
    ['spec.provision.image', { provision: { image: 'Not a name' } }],
    ['spec.provision.hostname', { provision: { image: 'a', hostname: 'a.b' } }],
    ['spec.provision.networkConfig', { provision: { image: 'a', networkConfig: 'ethernets: {}' } }],
    ['spec.provision', { provision: { image: 'a' }, externallyProvisioned: true }],
    ['spec.rescue.authorizedKeys[0]', { rescue: { authorizedKeys: ['command="x" ssh-rsa AAAA'] } }],
    ['spec.rescue.authorizedKeys[0]', { rescue: { authorizedKeys: ['ssh-ed25519 AAAA\nssh-rsa BBBB'] } }],
  ];
  for (const [path, spec] of wrong) {
    test(`${path} of ${JSON.stringify(spec)} is refused`, async () => {
      const machine = machineWith('wrong', spec);
      await refused(lab.admin.create<Machine>(machines, machine), 'Invalid', path);
    });
  }

  const right: readonly object[] = [
    { bmc: { type: 'Redfish', address: '10.0.0.9:8443' } },
    { bmc: { type: 'Redfish', address: 'http://127.0.0.1:8000/redfish/v1/Systems/1' } },
    { bmc: { type: 'IPMI', address: '[fe80::1]:623' } },
    { bmc: { type: 'WakeOnLAN', address: '10.10.0.255:9' } },
    { bmc: { type: 'WakeOnLAN', address: ':9' } },
    { provision: { image: 'a', networkConfig: 'version: 2\nethernets: {}\n' } },
    { provision: { image: 'a', networkConfig: 'network:\n  version: 1\n' } },
    { provision: { image: 'a', networkConfig: '{"version": 2, "ethernets": {}}' } },
    { rescue: { authorizedKeys: ['ssh-ed25519 AAAAC3Nza anna@desk'] } },
  ];
  for (const spec of right) {
    test(`${JSON.stringify(spec)} is taken`, async () => {
      await madeMachine(spec);
    });
  }

  test('progress counted in scripts, as an earlier hub stored it, keeps no status from being written', async () => {
    const name = await madeMachine();
    const progress = { step: 'Testing', done: 1, total: 3, unit: 'Scripts' };
    await lab.admin.mergePatch<Machine>(
      machines,
      { name },
      { status: { progress } },
      { subresource: 'status' },
    );
  });

  test('a machine stays with its site', async () => {
    const name = await madeMachine();
    await refused(change(lab.admin, name, { siteName: 'paris' }), 'Invalid', 'spec.siteName');
  });

  const racks: readonly (readonly [path: string, network: Partial<RackSpec['networks'][number]>])[] = [
    ['address', { address: '10.10.0.1' }],
    ['address', { address: '10.10.0.0/24' }],
    ['range.from', { range: { from: '10.11.0.1', to: '10.10.0.9' } }],
    ['range.to', { range: { from: '10.10.0.20', to: '10.10.0.10' } }],
    ['range', { range: { from: '10.10.0.1', to: '10.10.0.10' } }],
    ['range', { gateway: '10.10.0.150' }],
    ['gateway', { gateway: '10.9.0.1' }],
    ['leaseTime', { leaseTime: 'soon' }],
    ['dnsServers[0]', { dnsServers: ['dns.example'] }],
  ];
  for (const [path, network] of racks) {
    test(`a network of a rack with ${JSON.stringify(network)} is refused`, async () => {
      const [own] = rackSpec.networks;
      const rack = { networks: [{ ...own, ...network }] };
      const site = { apiVersion, kind: 'Site', metadata: { name: 'wrong' }, spec: { rack } } as Site;
      await refused(lab.admin.create(sites, site), 'Invalid', `spec.rack.networks[0].${path}`);
    });
  }

  test('two networks of a rack do not overlap, nor share an interface', async () => {
    const [own] = rackSpec.networks;
    const rack = { networks: [own, { ...own, name: 'other', address: '10.10.0.2/16' }] };
    const site = { apiVersion, kind: 'Site', metadata: { name: 'wrong' }, spec: { rack } } as Site;
    await refused(
      lab.admin.create(sites, site),
      'Invalid',
      'networks[1].interface',
      'overlaps with network "lab"',
    );
  });

  const others: readonly (readonly [ref: ResourceRef, path: string, spec: object])[] = [
    [machineTags, 'spec.expression', { expression: 'inventory.resources.gpu.total >' }],
    [machineScripts, 'spec.script', { script: 'echo no header\n# timeout: 5' + '\u0000' }],
    [machineClaims, 'spec.requirements.memory', { requirements: { memory: 'much' } }],
    [machineClaims, 'spec.requirements.expression', { requirements: { expression: '1 +' } }],
    [
      machineClaims,
      'spec.siteSelector',
      { siteSelector: { matchExpressions: [{ key: 'a', operator: 'In' }] } },
    ],
  ];
  for (const [ref, path, spec] of others) {
    test(`${ref.kind} with a wrong ${path} is refused`, async () => {
      const object = { apiVersion, kind: ref.kind, metadata: { name: 'wrong' }, spec } as KubeObject;
      await refused(lab.admin.create(ref, object), 'Invalid', path);
    });
  }
});

test('machine kinds are read by view where it is given everywhere, and written by the roles for it', async () => {
  await lab.bind('vera', 'view');
  await lab.as('vera').list(machines);
  const empty = (kind: string): KubeObject => ({ apiVersion, kind, metadata: { name: 'x' } });
  await refused(lab.as('vera').create(machineClaims, empty('MachineClaim')), 'Forbidden');
  await refused(operator.create(machineScripts, empty('MachineScript')), 'Forbidden');
  await refused(lab.as('nobody').list(machines), 'Forbidden');
});
