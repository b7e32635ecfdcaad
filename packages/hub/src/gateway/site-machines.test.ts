import assert from 'node:assert/strict';
import { describe, test, type TestContext } from 'node:test';
import {
  type Event,
  events,
  type Machine,
  type MachineMoment,
  type MachineReport,
  type MachineScript,
  machines,
  machineScripts,
  type Secret,
  secrets,
  type Site,
  sites,
  type SyncRequest,
  type SyncResponse,
} from '@selvedge/api';
import { machinesDigest, sha256Digest, systemClock } from '@selvedge/api/node';
import {
  inventoryWith,
  macAddress,
  machineWith,
  observedTime,
  rackSpec,
  reportOf,
} from './testing/machine-reports.ts';
import type { TestAgent } from './testing/test-agent.ts';
import { eventually, TestHub } from './testing/test-hub.ts';

const digest = (letter: string) => `sha256:${letter.repeat(64)}`;
const moment = (n: number, over: Partial<MachineMoment> = {}): MachineMoment => ({
  n,
  time: `2026-01-01T00:00:${String(n).padStart(2, '0')}.000Z`,
  type: 'Normal',
  reason: 'BootRequested',
  message: `moment ${n}`,
  ...over,
});

class Lab {
  readonly hub: TestHub;
  readonly agent: TestAgent;

  private constructor(hub: TestHub, agent: TestAgent) {
    this.hub = hub;
    this.agent = agent;
  }

  /** A hub with site `berlin`, which has a rack and an agent in touch. */
  static async start(t: TestContext): Promise<Lab> {
    const hub = await TestHub.start(t, { syncWait: '20s' });
    const agent = await hub.enrolledAgent('berlin');
    const lab = new Lab(hub, agent);
    await hub.hub.client.mergePatch<Site>(sites, { name: 'berlin' }, { spec: { rack: rackSpec } });
    return lab;
  }

  /** As a rack does it: with a digest of its machines each time. */
  sync(over: Partial<SyncRequest>): Promise<SyncResponse> {
    return this.syncPlainly({ machinesDigest: machinesDigest([]), ...over });
  }

  async syncPlainly(over: Partial<SyncRequest>): Promise<SyncResponse> {
    const { code, body } = await this.agent.sync({ maxWaitSeconds: 1, ...over });
    assert.equal(code, 200, JSON.stringify(body));
    if (body.state !== undefined) await this.agent.accept(body.state);
    return body;
  }

  tell(...reports: MachineReport[]): Promise<SyncResponse> {
    return this.sync({ machines: reports });
  }

  /** Resolves when the hub knows of it wherever it looks. */
  async create(machine: Machine): Promise<Machine> {
    const made = await this.hub.hub.client.create<Machine>(machines, machine);
    const { name } = machine.metadata;
    if (machine.spec.siteName === 'berlin')
      await this.until(() => this.ordered(name) !== undefined, 'ordered');
    return made;
  }

  machine(name: string): Promise<Machine> {
    return this.hub.hub.client.get<Machine>(machines, { name });
  }

  async list(): Promise<Machine[]> {
    return (await this.hub.hub.client.list<Machine>(machines)).items;
  }

  /** Syncs until the policy is as it should be. */
  async until(isSo: () => boolean | Promise<boolean>, what: string): Promise<void> {
    const end = performance.now() + 60_000;
    do {
      await this.sync({ maxWaitSeconds: 0 });
      if (await isSo()) return;
      await systemClock.sleep(100);
    } while (performance.now() < end);
    assert.fail(`never: ${what}`);
  }

  /** Tells of boxes until so many Machines are there: the hub may not have heard yet that the site has a rack. */
  async tellOfBoxes(count: number, ...reports: MachineReport[]): Promise<SyncResponse> {
    let answer: SyncResponse | undefined;
    await this.until(async () => {
      answer = await this.tell(...reports);
      return (await this.list()).length === count;
    }, `${count} Machines`);
    return answer as SyncResponse;
  }

  ordered(name: string) {
    return this.agent.policy.rack?.machines.find((machine) => machine.name === name);
  }
}

describe('machines of a site', { concurrency: false }, () => {
  test('what is on its disk is told back to the site, for a rack that loses its own, and nothing else is', async (t) => {
    const lab = await Lab.start(t);
    const { metadata } = await lab.create(machineWith('m1', { provision: { image: 'tiny' } }));
    const key = metadata.uid ?? '';
    const written = {
      image: 'tiny',
      digest: digest('a'),
      instanceId: 'one',
      device: 'vda',
      writtenTime: observedTime,
    };
    const provisioned = { ...written, confirmedTime: observedTime };
    const stateOf = () => lab.agent.policy.rack;
    await lab.tell(reportOf(key, 1, { phase: 'Provisioning', provisioned: written }));
    await lab.until(() => lab.ordered('m1')?.known?.phase === 'Provisioning', 'told that it was written');
    await lab.tell(reportOf(key, 2, { phase: 'Provisioned', provisioned }));
    await lab.until(() => lab.ordered('m1')?.known?.phase === 'Provisioned', 'told that it runs');
    assert.deepEqual(lab.ordered('m1')?.known?.provisioned, provisioned);
    const before = stateOf();
    for (let seq = 3; seq < 6; seq++) {
      const power = { state: seq % 2 === 0 ? ('On' as const) : ('Off' as const), observedTime };
      await lab.tell(reportOf(key, seq, { phase: 'Provisioned', provisioned, power }));
    }
    await lab.until(async () => (await lab.machine('m1')).status?.power?.state === 'Off', 'all was heard');
    assert.equal(stateOf(), before, 'another policy came of a report that says nothing new of its disk');
  });

  test('a box that nobody knows becomes a Machine that waits to be accepted, and then an order', async (t) => {
    const lab = await Lab.start(t);
    const answer = await lab.tellOfBoxes(
      1,
      reportOf(`box:${macAddress}`, 7, {
        seen: {
          macAddresses: [macAddress],
          uuid: '0'.repeat(8) + '-0000-0000-0000-000000000000',
          serials: ['To Be Filled By O.E.M.', 'S1'],
        },
      }),
    );
    assert.equal(answer.ackMachines, 7);
    const machine = await lab.machine('berlin-52-54-00-00-00-01');
    assert.equal(machine.spec.accepted, false);
    assert.deepEqual(machine.spec.identity, { serials: ['S1'], macAddresses: [macAddress] });
    assert.equal(machine.status?.phase, 'New');
    await lab.until(() => lab.ordered(machine.metadata.name) !== undefined, 'ordered');
    assert.equal(lab.ordered(machine.metadata.name)?.accepted, false);
    await lab.tellOfBoxes(
      2,
      reportOf(`box:${macAddress}`, 8),
      reportOf(`box:52:54:00:00:00:02`, 9, { seen: { macAddresses: ['52:54:00:00:00:02'] } }),
    );
    assert.equal((await lab.list()).length, 2, 'the same box is the same Machine');
  });

  test('what is wanted goes to the rack, and what the rack says comes back with its age', async (t) => {
    const lab = await Lab.start(t);
    await lab.hub.hub.client.create<Secret>(secrets, {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'bmc', namespace: 'default' },
      data: { username: 'YQ==', password: 'Yg==' },
    });
    const sealingKey = Buffer.alloc(32, 9).toString('base64url');
    await lab.sync({ agent: { ...lab.agent.info, sealingKey } });
    const made = await lab.create(
      machineWith('m1', {
        bmc: {
          type: 'Redfish',
          address: 'https://10.0.0.9',
          secretRef: { namespace: 'default', name: 'bmc' },
        },
        provision: { image: 'not-there-yet', userData: { text: '#cloud-config\n' } },
      }),
    );
    const uid = made.metadata.uid ?? '';
    await lab.until(
      () => lab.ordered('m1') !== undefined && (lab.agent.policy.sealed ?? []).length > 0,
      'ordered with its Secret',
    );
    assert.deepEqual(
      lab.agent.policy.sealed?.map(({ id }) => id),
      ['Secret/default/bmc'],
    );
    const version = () => lab.agent.policy.sealed?.[0]?.version;
    const before = version();
    const secret = { namespace: 'default', name: 'bmc' };
    await lab.hub.hub.client.mergePatch<Secret>(secrets, secret, { data: { password: 'Yw==' } });
    await lab.until(() => version() !== before, 'told of the new password');
    const order = lab.ordered('m1');
    assert.equal(order?.bmc?.credentials, 'Secret/default/bmc');
    assert.equal(order.provision?.image, 'not-there-yet', 'an image that is not there releases nothing');
    assert.deepEqual(lab.agent.policy.rack?.images, []);

    const inventory = inventoryWith();
    const answer = await lab.tell(
      reportOf(uid, 10, {
        generation: 1,
        phase: 'Inspecting',
        status: 'Working',
        inventory,
        inventoryDigest: digest('a'),
        timeline: [
          moment(1),
          moment(2, { reason: 'PhaseChanged' }),
          moment(3, { type: 'Warning', reason: 'RogueNonce' }),
        ],
      }),
    );
    assert.equal(answer.ackMachines, 10);
    assert.equal(answer.sendAllMachines, undefined);
    const { status } = await lab.machine('m1');
    assert.deepEqual(status?.inventory, inventory);
    assert.deepEqual(
      [status?.phase, status?.operationalStatus, status?.reportSeq],
      ['Inspecting', 'Working', 10],
    );
    assert.ok((status?.observedTime ?? '') >= observedTime);
    assert.equal(status?.conditions?.find(({ type }) => type === 'Inspected')?.reason, 'Inspecting');
    await lab.tell(
      reportOf(uid, 11, {
        generation: 1,
        phase: 'Available',
        inventoryDigest: digest('a'),
        timeline: [moment(3, { type: 'Warning', reason: 'RogueNonce' }), moment(4)],
      }),
    );
    const after = (await lab.machine('m1')).status;
    assert.deepEqual(
      after?.timeline?.map(({ n }) => n),
      [1, 2, 3, 4],
    );
    assert.deepEqual(after?.inventory, inventory, 'what is acknowledged is not sent again and stays');
    const told = (await lab.hub.hub.client.list<Event>(events)).items.filter(
      ({ involvedObject }) => involvedObject.name === 'm1' && involvedObject.uid === uid,
    );
    assert.deepEqual(new Set(told.map(({ reason }) => reason)), new Set(['PhaseChanged', 'RogueNonce']));
    assert.equal(told.length, 2, 'each once');
  });

  test('repetitions change nothing, and older reports do not overwrite newer ones', async (t) => {
    const lab = await Lab.start(t);
    const uid = (await lab.create(machineWith('m1'))).metadata.uid ?? '';
    await lab.tell(reportOf(uid, 20, { generation: 1, phase: 'Available' }));
    // A controller may still write its conditions.
    await eventually(async () => {
      const { resourceVersion } = (await lab.machine('m1')).metadata;
      const answer = await lab.tell(
        reportOf(uid, 19, { phase: 'Broken' }),
        reportOf(uid, 20, { phase: 'Available' }),
      );
      assert.equal(answer.ackMachines, 20);
      const { metadata, status } = await lab.machine('m1');
      assert.equal(status?.phase, 'Available');
      return metadata.resourceVersion === resourceVersion;
    });
  });

  test('a rack speaks only of machines of its own site', async (t) => {
    const lab = await Lab.start(t);
    const other = await lab.create(machineWith('m2', { siteName: 'paris' }));
    const answer = await lab.tell(reportOf(other.metadata.uid ?? '', 5, { generation: 1, phase: 'Broken' }));
    assert.equal(answer.ackMachines, 5, 'dropped for good');
    assert.equal((await lab.machine('m2')).status?.phase, undefined);
  });

  test('one report that cannot be read does not silence the others', async (t) => {
    const lab = await Lab.start(t);
    const uid = (await lab.create(machineWith('m1'))).metadata.uid ?? '';
    const wrong = { ...reportOf(uid, 31), phase: 'Levitating' } as unknown as MachineReport;
    const answer = await lab.tell(wrong, reportOf(uid, 30, { generation: 1, phase: 'Available' }));
    assert.equal(answer.ackMachines, 31);
    assert.equal((await lab.machine('m1')).status?.phase, 'Available');
  });

  test('a report that is refused for good does not have all the others sent again', async (t) => {
    const lab = await Lab.start(t);
    const uid = (await lab.create(machineWith('m1'))).metadata.uid ?? '';
    await lab.tell(reportOf(uid, 30, { generation: 1, phase: 'Available' }));
    const held = machinesDigest([{ key: uid, seq: 30 }]);
    // Until the gateway knows of the Machine.
    await eventually(
      async () => (await lab.sync({ machinesDigest: held, maxWaitSeconds: 0 })).ackMachines === 30,
    );
    const wrong = { ...reportOf(uid, 31), phase: 'Levitating' } as unknown as MachineReport;
    const has = machinesDigest([{ key: uid, seq: 31 }]);
    const answer = await lab.sync({ machines: [wrong], machinesDigest: has });
    assert.deepEqual([answer.ackMachines, answer.sendAllMachines], [31, undefined]);
    assert.equal((await lab.sync({ machinesDigest: has })).sendAllMachines, undefined);
  });

  test('what the hub has not is asked for, once', async (t) => {
    const lab = await Lab.start(t);
    const uid = (await lab.create(machineWith('m1'))).metadata.uid ?? '';
    await lab.until(() => lab.ordered('m1') !== undefined, 'ordered');
    const known = { generation: 1, phase: 'Available' as const, inventoryDigest: digest('b') };
    assert.equal((await lab.tell(reportOf(uid, 40, known))).sendAllMachines, true, 'it lacks the inventory');
    assert.equal((await lab.tell(reportOf(uid, 41, known))).sendAllMachines, undefined);
    const whole = { ...known, inventory: inventoryWith() };
    assert.equal((await lab.tell(reportOf(uid, 41, whole))).sendAllMachines, undefined);
    assert.notEqual((await lab.machine('m1')).status?.inventory, undefined);
    const same = machinesDigest([{ key: uid, seq: 41 }]);
    assert.equal((await lab.sync({ machinesDigest: same })).sendAllMachines, undefined);
    const age = (await lab.machine('m1')).status?.observedTime ?? '';
    assert.ok(age > observedTime, 'what holds at a contact was observed then');
    // It may have had to look at the Machines themselves, which it does seldom.
    lab.hub.clock.offsetMilliseconds += 31_000;
    const more = machinesDigest([{ key: uid, seq: 42 }]);
    const asked = await lab.sync({ machinesDigest: more });
    assert.deepEqual([asked.sendAllMachines, asked.ackMachines], [true, 41]);
    assert.equal((await lab.sync({ machinesDigest: more })).sendAllMachines, undefined, 'not again at once');
  });

  test('a rack that answers each question by other numbers is not asked again and again', async (t) => {
    const lab = await Lab.start(t);
    await lab.create(machineWith('m1'));
    const asked: unknown[] = [];
    for (const letter of ['a', 'b', 'c', 'd']) {
      asked.push((await lab.sync({ machinesDigest: digest(letter), maxWaitSeconds: 0 })).sendAllMachines);
    }
    assert.deepEqual(asked, [true, undefined, undefined, undefined]);
  });

  test('a machine that its rack leaves alone counts too', async (t) => {
    const lab = await Lab.start(t);
    const { uid = '' } = (await lab.create(machineWith('m1', { accepted: false }))).metadata;
    await lab.tell(reportOf(uid, 60));
    assert.equal((await lab.machine('m1')).status?.observedGeneration, 0);
    const machinesDigestOfRack = machinesDigest([{ key: uid, seq: 60 }]);
    assert.equal((await lab.sync({ machinesDigest: machinesDigestOfRack })).sendAllMachines, undefined);
    assert.ok(((await lab.machine('m1')).status?.observedTime ?? '') > observedTime);
  });

  test('a Machine that a person made of a discovered box takes its place', async (t) => {
    const lab = await Lab.start(t);
    await lab.tellOfBoxes(1, reportOf(`box:${macAddress}`, 1));
    await lab.create(machineWith('till-server'));
    await lab.until(async () => (await lab.list()).length === 1, 'the discovered one went');
    assert.deepEqual(
      (await lab.list()).map(({ metadata }) => metadata.name),
      ['till-server'],
    );
    await lab.until(() => lab.agent.policy.rack?.machines.length === 1, 'ordered once');
  });

  test('a discovered box that was accepted is never removed', async (t) => {
    const lab = await Lab.start(t);
    await lab.tellOfBoxes(1, reportOf(`box:${macAddress}`, 1));
    const name = 'berlin-52-54-00-00-00-01';
    await lab.hub.hub.client.mergePatch(machines, { name }, { spec: { accepted: true } });
    await lab.create(machineWith('till-server'));
    await lab.until(() => lab.agent.policy.rack?.machines.length === 2, 'both ordered');
    assert.equal((await lab.list()).length, 2);
  });

  test('boxes are not recorded where discovery is Ignore', async (t) => {
    const lab = await Lab.start(t);
    const client = lab.hub.hub.client;
    await client.mergePatch<Site>(sites, { name: 'berlin' }, { spec: { rack: { discovery: 'Ignore' } } });
    await lab.until(() => lab.agent.policy.rack?.discovery === 'Ignore', 'told');
    let boxes = 0;
    // The gateway hears of it apart from the site's policy.
    await eventually(async () => {
      const before = (await lab.list()).length;
      boxes += 1;
      const address = `52:54:00:00:01:${(boxes + 16).toString(16)}`;
      const answer = await lab.tell(reportOf(`box:${address}`, boxes, { seen: { macAddresses: [address] } }));
      assert.equal(answer.ackMachines, boxes);
      return (await lab.list()).length === before;
    });
  });

  test('sites fetch the scripts that they are told of, and no others', async (t) => {
    const lab = await Lab.start(t);
    const text = (name: string) =>
      `#!/bin/sh\n# --- Start MAAS 1.0 script metadata ---\n# name: ${name}\n# --- End MAAS 1.0 script metadata ---\ntrue\n`;
    const make = (name: string, spec: object) =>
      lab.hub.hub.client.create<MachineScript>(machineScripts, {
        apiVersion: 'selvedge.dev/v1alpha1',
        kind: 'MachineScript',
        metadata: { name },
        spec: { script: text(name), ...spec },
      });
    await make('mine', {});
    await make('other', { siteSelector: { matchLabels: { tier: 'none' } } });
    await lab.until(() => lab.agent.policy.rack?.scripts.length === 1, 'told');
    const [script] = lab.agent.policy.rack?.scripts ?? [];
    assert.equal(script?.metadata.name, 'mine');
    const answer = await lab.agent.getBlob(script.digest);
    assert.deepEqual([answer.code, answer.bytes.toString('utf8')], [200, text('mine')]);
    assert.equal((await lab.agent.getBlob(sha256Digest(text('other')))).code, 404);
  });

  test('conditions say whether the rack acts on what is wanted', async (t) => {
    const lab = await Lab.start(t);
    const uid = (await lab.create(machineWith('m1'))).metadata.uid ?? '';
    const synced = async () =>
      (await lab.machine('m1')).status?.conditions?.find(({ type }) => type === 'Synced')?.reason;
    await lab.until(async () => (await synced()) === 'RackMissing', 'RackMissing');
    await lab.sync({ rack: { observedTime, networks: [], images: [] } });
    await lab.until(async () => (await synced()) === 'NotReported', 'NotReported');
    await lab.tell(reportOf(uid, 1, { generation: 1, phase: 'Available' }));
    await lab.until(async () => (await synced()) === 'InStep', 'InStep');
    await lab.hub.hub.client.mergePatch(machines, { name: 'm1' }, { spec: { power: 'On' } });
    await lab.until(async () => (await synced()) === 'Pending', 'Pending');
    await lab.until(async () => {
      await lab.syncPlainly({ maxWaitSeconds: 0 });
      return (await lab.hub.site('berlin')).status?.rack === undefined;
    }, 'an agent without a rack spoke');
    await lab.until(async () => (await synced()) === 'RackMissing', 'RackMissing again');
  });

  test('what the rack says of itself stands on the Site', async (t) => {
    const lab = await Lab.start(t);
    const rack = {
      observedTime,
      message: 'dnsmasq is not installed',
      networks: [
        {
          name: 'lab',
          interface: 'eth1',
          state: 'Failed' as const,
          otherServers: [{ address: '10.10.0.9', lastSeenTime: observedTime }],
        },
      ],
      images: [],
    };
    await lab.sync({ rack });
    assert.deepEqual((await lab.hub.site('berlin')).status?.rack, rack);
    const ready = async () =>
      (await lab.hub.site('berlin')).status?.conditions?.find(({ type }) => type === 'RackReady')?.reason;
    await lab.until(async () => (await ready()) === 'RackFailed', 'RackFailed');
    const { message: _, ...well } = rack;
    await lab.sync({ rack: well });
    await lab.until(async () => (await ready()) === 'NetworkFailed', 'NetworkFailed');
    const networks = well.networks.map((network) => ({ ...network, state: 'Serving' as const }));
    await lab.sync({ rack: { ...well, networks } });
    await lab.until(async () => (await ready()) === 'OtherDHCPServers', 'OtherDHCPServers');
    const discoveryFull = { limit: 200, turnedAway: 7, lastSeenTime: observedTime };
    await lab.sync({ rack: { ...well, networks: [], discoveryFull } });
    assert.deepEqual((await lab.hub.site('berlin')).status?.rack?.discoveryFull, discoveryFull);
    await lab.until(async () => (await ready()) === 'DiscoveryFull', 'DiscoveryFull');
    await lab.sync({ rack: { ...well, networks: [] } });
    assert.deepEqual((await lab.hub.site('berlin')).status?.rack, { ...well, networks: [] });
    await lab.until(async () => (await ready()) === 'Serving', 'Serving');
    await lab.hub.hub.client.mergePatch<Site>(sites, { name: 'berlin' }, { spec: { rack: null } });
    await lab.until(async () => (await ready()) === undefined, 'forgotten');
    assert.equal((await lab.hub.site('berlin')).status?.rack, undefined);
  });
});
