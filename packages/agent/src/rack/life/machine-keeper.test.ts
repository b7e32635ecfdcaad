import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLogger } from '@selvedge/api/node';
import { FakeClock } from '@selvedge/testkit';
import { AgentDatabase } from '../../state/agent-database.ts';
import { makeStateDir } from '../../testing/test-agent.ts';
import { MachineKeeper } from './machine-keeper.ts';
import { MachineStore } from './machine-store.ts';
import { powerRead } from './take-event.ts';
import { SimulatedMachine } from './testing/simulated-machine.ts';

test('a machine at rest is not written to the disk at each look at its power', async () => {
  await using state = await makeStateDir();
  const database = AgentDatabase.open(state.path);
  try {
    const logger = createLogger({ level: 'fatal' });
    const clock = new FakeClock();
    const store = new MachineStore(database);
    const machine = new SimulatedMachine({ order: { accepted: false } });
    const keeper = new MachineKeeper({ store, clock, logger, factsOf: () => machine.facts });
    const key = machine.order.uid;
    keeper.change(key, (record) => record);
    const look = () => keeper.touch(key, (record) => powerRead(record, { state: 'Off' }, keeper.now));
    const stored = () => store.loadAll(logger).find((record) => record.key === key)?.power.observedTime;
    const first = stored();
    for (let minute = 0; minute < 9; minute++) {
      await clock.advance(60_000);
      look();
      assert.equal(stored(), first);
      assert.equal(keeper.find(key)?.power.observedTime, keeper.now);
    }
    await clock.advance(120_000);
    look();
    assert.equal(stored(), keeper.now);
  } finally {
    database.close();
  }
});
