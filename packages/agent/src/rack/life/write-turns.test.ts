import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLogger } from '@selvedge/api/node';
import { FakeClock } from '@selvedge/testkit';
import { AgentDatabase } from '../../state/agent-database.ts';
import { makeStateDir } from '../../testing/test-agent.ts';
import { MachineKeeper } from './machine-keeper.ts';
import { type MachineRecord, without } from './machine-record.ts';
import { MachineStore } from './machine-store.ts';
import { SimulatedMachine } from './testing/simulated-machine.ts';
import { WriteTurns } from './write-turns.ts';

/** Has no space for what is known of one machine. */
class CrampedStore extends MachineStore {
  full: string | undefined;

  override put(record: MachineRecord): void {
    if (record.key === this.full) throw Object.assign(new Error('the disk is full'), { errcode: 13 });
    super.put(record);
  }
}

/** A machine whose disk is being written. */
function writing(uid: string): SimulatedMachine {
  const machine = new SimulatedMachine({
    order: { uid, allocated: true, provision: { image: 'tiny', hostname: uid, instanceId: 'one' } },
  });
  for (let round = 0; round < 20 && machine.record.job?.task?.name !== 'write'; round += 1) {
    machine.askBmc('Does');
    machine.boot();
    machine.openSession();
    machine.work(true);
  }
  assert.equal(machine.record.job?.task?.name, 'write');
  return machine;
}

test('a machine that ends its write is heard by all, though there is no space to give its turn to the next one, which gets it later', async () => {
  await using state = await makeStateDir();
  const database = AgentDatabase.open(state.path);
  try {
    const store = new CrampedStore(database);
    const machines = new Map(['first', 'second'].map((uid) => [uid, writing(uid)]));
    for (const { record } of machines.values()) {
      const job =
        record.key === 'second' && record.job !== undefined ? without(record.job, 'task') : undefined;
      store.put(job === undefined ? record : { ...record, job });
    }
    const keeper: MachineKeeper = new MachineKeeper({
      store,
      clock: new FakeClock(),
      logger: createLogger({ level: 'fatal' }),
      factsOf: ({ key }) => {
        const writeTurn = turns.findReason(key, 1);
        const { facts } = machines.get(key) ?? assert.fail();
        return writeTurn === undefined ? facts : { ...facts, writeTurn };
      },
    });
    const turns = new WriteTurns(keeper);
    const heard: string[] = [];
    keeper.onChange((key) => heard.push(key));
    const taskOf = (key: string) => keeper.find(key)?.job?.task?.name;
    keeper.review('second');
    assert.equal(taskOf('second'), undefined, 'it waits');
    heard.length = 0;

    store.full = 'second';
    machines.get('first')?.letGo();
    keeper.review('first');
    assert.notEqual(taskOf('first'), 'write');
    assert.deepEqual(heard, ['first']);
    assert.equal(taskOf('second'), undefined);

    store.full = undefined;
    keeper.review('second');
    assert.equal(taskOf('second'), 'write');
  } finally {
    database.close();
  }
});
