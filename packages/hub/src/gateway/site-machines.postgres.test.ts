import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Machine, machines, type MachineReport, type Site, sites } from '@selvedge/api';
import { machinesDigest } from '@selvedge/api/node';
import { requireTool, startTestPostgres, type TestPostgres } from '@selvedge/testkit';
import { macAddress, rackSpec, reportOf } from './testing/machine-reports.ts';
import { eventually } from './testing/test-hub.ts';
import { enrolAgent, startTwoHubs } from './testing/two-hubs.ts';

describe('machines of a site that goes from hub to hub', requireTool('postgres', 'initdb', 'psql'), () => {
  let postgres: TestPostgres;
  before(async () => {
    postgres = await startTestPostgres();
  });
  after(() => postgres.remove());

  test('are the same at both: each box once, each report once', async (t) => {
    const { hubs, data } = await startTwoHubs(t, postgres);
    const [a, b] = hubs;
    const agent = await enrolAgent(t, { hub: a, data, site: 'berlin' });
    await a.client.mergePatch<Site>(sites, { name: 'berlin' }, { spec: { rack: rackSpec } });
    const tell = async (...reports: MachineReport[]) =>
      (await agent.sync({ machines: reports, maxWaitSeconds: 1 })).body;
    // Neither may have heard yet that the site has a rack.
    const tellOfBox = (seq: number) =>
      eventually(async () => {
        await tell(reportOf(`box:${macAddress}`, seq));
        const { items } = await b.client.list<Machine>(machines);
        return items.some(({ status }) => status?.reportSeq === seq) ? items : undefined;
      });
    await tellOfBox(1);
    agent.url = b.url;
    const items = await tellOfBox(2);
    assert.equal(items.length, 1);
    const uid = items[0]?.metadata.uid ?? '';
    agent.url = a.url;
    const isOrdered = () => agent.policy.rack?.machines.some((machine) => machine.uid === uid) === true;
    await eventually(async () => {
      const { state } = (await agent.sync({ maxWaitSeconds: 1 })).body;
      if (state !== undefined) await agent.accept(state);
      return isOrdered();
    });
    agent.url = b.url;
    assert.equal((await tell(reportOf(uid, 3, { generation: 1 }))).ackMachines, 3);
    const digest = machinesDigest([{ key: uid, seq: 3 }]);
    for (const hub of [a, b]) {
      agent.url = hub.url;
      // What the other took it may not have heard of yet: that is no reason to ask.
      await eventually(async () => {
        const { body } = await agent.sync({ machinesDigest: digest, maxWaitSeconds: 1 });
        assert.equal(body.sendAllMachines, undefined);
        return body.ackMachines === 3;
      });
      const machine = await hub.client.get<Machine>(machines, { name: items[0]?.metadata.name ?? '' });
      assert.equal(machine.status?.reportSeq, 3);
    }
  });
});
