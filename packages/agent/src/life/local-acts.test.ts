import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { AgentDatabase } from '../state/agent-database.ts';
import { makeStateDir } from '../testing/test-agent.ts';
import { HubInstances } from './hub-instances.ts';
import { LocalActs } from './local-acts.ts';

const act = {
  time: '2026-06-01T12:00:00.000Z',
  kind: 'Hold',
  by: 'eve',
  message: 'the site is held',
} as const;

async function openDatabase() {
  const dir = await makeStateDir();
  const database = AgentDatabase.open(dir.path);
  return {
    database,
    async [Symbol.asyncDispose]() {
      database.close();
      await dir[Symbol.asyncDispose]();
    },
  };
}

describe('acts at the site', () => {
  test('are told in order until the hub has them, fifty at a time, and the last ones are kept to look at', async () => {
    await using open = await openDatabase();
    const acts = new LocalActs(open.database);
    for (let n = 0; n < 60; n++) acts.append(act);
    assert.deepEqual(
      acts.untold().map(({ seq }) => seq),
      Array.from({ length: 50 }, (_, n) => n + 1),
    );
    acts.acknowledge(50);
    assert.equal(acts.untold().length, 10);
    acts.acknowledge(60);
    assert.equal(acts.hasUntold(), false);
    assert.equal(acts.recent(100).length, 20);
    assert.ok(acts.recent(100).every(({ isTold }) => isTold));
  });

  test('a hub that knows more than was ever counted here: what is new is not taken for known', async () => {
    await using open = await openDatabase();
    const acts = new LocalActs(open.database);
    acts.append(act);
    acts.append({ ...act, kind: 'Release' });
    acts.acknowledge(17);
    assert.deepEqual(
      acts.untold().map(({ seq, kind }) => [seq, kind]),
      [
        [18, 'Hold'],
        [19, 'Release'],
      ],
    );
    assert.equal(acts.append(act).seq, 20);
  });
});

describe('the hubs that answer', () => {
  test('one that was left and comes back is told for an hour, also after a restart of the agent', async () => {
    await using open = await openDatabase();
    const at = (minutes: number) => new Date(Date.UTC(2026, 5, 1, 12, minutes));
    const hubs = new HubInstances(open.database);
    assert.equal(hubs.met('a', at(0)), true);
    assert.equal(hubs.met('a', at(1)), false);
    hubs.met('b', at(2));
    assert.equal(hubs.takingTurns(at(3)), undefined);
    hubs.met('a', at(4));
    const again = new HubInstances(open.database);
    assert.deepEqual(
      again.takingTurns(at(5))?.map(({ instance }) => instance),
      ['b', 'a'],
    );
    assert.equal(again.takingTurns(at(65)), undefined);
  });
});
