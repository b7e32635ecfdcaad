import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '@selvedge/api/node';
import { withOutcome } from './testing/release-outcome.ts';
import { eventually, makeStateDir, startTestAgent } from './testing/test-agent.ts';
import { TestHub } from './testing/test-hub.ts';

const program = join(import.meta.dirname, 'testing/agent-program.ts');
const kills = 12;

/** Every third release crashes, so that kills meet going back too. */
function someManifests(n: number): unknown[] {
  const config = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'x' }, data: { n: String(n) } };
  return withOutcome([config], n % 3 === 0 ? { health: 'crash' } : {});
}

function startProgram(...args: string[]): {
  child: ChildProcess;
  ended: Promise<void>;
  errors: () => string;
} {
  const child = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
  let errors = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    errors += chunk.toString();
  });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  return { child, ended, errors: () => errors };
}

test('killed at any instant, an agent neither goes back nor uses a number twice, and loses nothing that it accepted', async (t) => {
  await using dir = await makeStateDir();
  await using hub = await TestHub.start();
  hub.assign('first', [{ kind: 'ConfigMap', metadata: { name: 'first' } }]);
  /** What was said under each number, on whatever try. */
  const said = new Map<number, string>();
  let toldEpoch = 0;
  const faults: string[] = [];
  hub.distort = (response, request) => {
    for (const report of request.reports) {
      const { seq, ...rest } = report;
      const text = `${rest.id} ${rest.state} ${rest.message} ${rest.epoch}`;
      if ((said.get(seq) ?? text) !== text) faults.push(`number ${seq} was used twice`);
      said.set(seq, text);
    }
    if (request.epoch < toldEpoch) faults.push(`epoch ${request.epoch} after ${toldEpoch}`);
    toldEpoch = request.epoch;
    // A new state with nearly every answer, so that kills meet its being stored.
    if (hub.epoch < toldEpoch + 3) hub.assign(`app-${randomInt(4)}`, someManifests(randomInt(1000)));
    return response;
  };
  try {
    for (let kill = 0; kill < kills; kill++) {
      const { child, ended, errors } = startProgram(dir.path, ...(kill === 0 ? [hub.token()] : []));
      const polls = hub.requests.length;
      await Promise.race([eventually('it polls', () => hub.requests.length > polls + 1), ended]);
      await systemClock.sleep(randomInt(250));
      child.kill('SIGKILL');
      await ended;
      assert.equal(errors(), '', `before kill ${kill}`);
    }
  } finally {
    await hub.close();
  }
  assert.deepEqual(faults, []);
  t.diagnostic(`epoch ${toldEpoch}, ${said.size} reports`);
  assert.ok(toldEpoch > 5 && said.size > 20);

  await using last = startTestAgent({ stateDir: dir.path });
  await eventually('all that was accepted is driven without the hub', () => last.driver.running.size > 0);
  assert.ok(!last.log.some((line) => line.level === 'error'));
  await last.stop();
});
