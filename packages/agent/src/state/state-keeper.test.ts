import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { systemClock } from '@selvedge/api/node';
import { eventually, makeStateDir, startTestAgent } from '../testing/test-agent.ts';
import { TestHub } from '../testing/test-hub.ts';
import type { StateKeeper } from './state-keeper.ts';

/** Notes what it is asked, and can be full. */
class NotingKeeper implements StateKeeper {
  readonly notes: string[];
  isFull = false;

  constructor(notes: string[]) {
    this.notes = notes;
  }

  async restore(): Promise<void> {
    this.notes.push('restore');
  }

  attach(): void {
    this.notes.push('attach');
  }

  async keep(): Promise<void> {
    this.notes.push('keep');
  }

  async keepFirst(): Promise<void> {
    if (this.isFull) throw new Error('exceeded quota: secrets');
    this.notes.push('keep first');
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) await systemClock.sleep(60_000, signal);
  }
}

describe('an agent whose state is kept elsewhere too', () => {
  test('has its key kept before the hub binds it, and who it is before it serves', async () => {
    await using dir = await makeStateDir();
    await using hub = await TestHub.start();
    const notes: string[] = [];
    hub.enrolAnswer = () => {
      notes.push('enrol');
      return undefined;
    };
    await using agent = startTestAgent({
      stateDir: dir.path,
      token: hub.token(),
      keeper: new NotingKeeper(notes),
    });
    await eventually('it asks the hub', () => hub.requests.length > 0);
    assert.deepEqual(notes, ['restore', 'attach', 'keep', 'enrol', 'keep']);
    assert.ok(agent.log.length > 0);
  });

  test('takes no state that cannot be kept, says why, and takes it when it can', async () => {
    await using dir = await makeStateDir();
    await using hub = await TestHub.start();
    const keeper = new NotingKeeper([]);
    keeper.isFull = true;
    await using agent = startTestAgent({ stateDir: dir.path, token: hub.token(), keeper });
    await eventually('it asks the hub', () => hub.requests.length > 0);
    hub.assign('till', [{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'x' } }]);
    await eventually('the hub is told', () => hub.requests.at(-1)?.refusal !== undefined);
    const { refusal, epoch } = hub.requests.at(-1) ?? {};
    assert.equal(refusal?.reason, 'StorageFull');
    assert.match(refusal?.message ?? '', /cannot be kept in the cluster.*exceeded quota: secrets/);
    assert.equal(epoch, 0);
    assert.ok(!agent.log.some(({ message }) => message === 'desired state accepted'));
    keeper.isFull = false;
    await eventually('it follows', () => hub.requests.at(-1)?.epoch === hub.epoch);
    assert.deepEqual(keeper.notes.slice(-1), ['keep first']);
  });
});
