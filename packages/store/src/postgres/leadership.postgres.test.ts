import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, test, type TestContext } from 'node:test';
import { systemClock } from '@selvedge/api/node';
import type { Store } from '../index.ts';
import { needsPostgres, openPostgresStoreForTest, PostgresForTests } from '../testing/postgres-databases.ts';

async function eventually(what: string, check: () => boolean): Promise<void> {
  for (let attempt = 0; attempt < 1200; attempt++) {
    if (check()) return;
    await systemClock.sleep(50);
  }
  throw new Error(`${what} did not come true within a minute`);
}

/** A store of this process that leads when it can. */
class Candidate {
  isLeading = false;
  terms = 0;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;

  constructor(store: Store, others: () => readonly Candidate[]) {
    this.#running = store.whileLeading(this.#stop.signal, async (signal) => {
      assert.ok(!others().some((other) => other !== this && other.isLeading), 'one leads at a time');
      this.isLeading = true;
      this.terms += 1;
      await new Promise<void>((resolve) => {
        signal.addEventListener('abort', () => resolve());
      });
      this.isLeading = false;
    });
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }
}

/** A hub's store in a process of its own. */
class LeaderProcess {
  readonly lines: string[] = [];
  readonly child: ChildProcess;

  constructor(t: TestContext, url: string) {
    const program = join(import.meta.dirname, '../testing/postgres-leader.ts');
    const child = spawn(process.execPath, [program, url], { stdio: ['ignore', 'pipe', 'inherit'] });
    this.child = child;
    createInterface({ input: child.stdout }).on('line', (line) => this.lines.push(line));
    t.after(() => this.kill());
  }

  async kill(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const exited = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await exited;
  }
}

describe('the lead among hubs on one database', needsPostgres, () => {
  const postgres = new PostgresForTests();

  async function openCandidates(t: TestContext, url: string, count: number): Promise<Candidate[]> {
    const stores = await Promise.all(Array.from({ length: count }, () => openPostgresStoreForTest(t, url)));
    const candidates: Candidate[] = [];
    for (const store of stores) candidates.push(new Candidate(store, () => candidates));
    t.after(() => Promise.all(candidates.map((candidate) => candidate.stop())));
    return candidates;
  }

  test('one hub leads; when it lets go another one does, and never two', async (t) => {
    const { url } = await postgres.database(t);
    const candidates = await openCandidates(t, url, 3);
    const leading = () => candidates.filter((candidate) => candidate.isLeading);
    for (let left = 3; left > 0; left--) {
      await eventually('a leader', () => leading().length === 1);
      const [leader] = leading();
      await leader?.stop();
      assert.equal(leader?.isLeading, false);
      candidates.splice(candidates.indexOf(leader as Candidate), 1);
    }
  });

  test('a leader whose session ends is told so before another one leads', async (t) => {
    const database = await postgres.database(t);
    const candidates = await openCandidates(t, database.url, 2);
    const terms = () => candidates.reduce((sum, candidate) => sum + candidate.terms, 0);
    await eventually('a leader', () => terms() === 1);
    await database.sql(
      `SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objid = 3`,
    );
    await eventually('the loss', () => candidates.every((candidate) => !candidate.isLeading));
    await eventually('the next leader', () => terms() === 2 && candidates.some(({ isLeading }) => isLeading));
  });

  test('when the leader is killed, or stands still, another one takes over', async (t) => {
    const { url } = await postgres.database(t);
    const first = new LeaderProcess(t, url);
    await eventually('the first leader', () => first.lines.includes('leading'));
    const second = new LeaderProcess(t, url);
    await eventually('the second hub', () => second.lines.includes('open'));
    await first.kill();
    await eventually('the second leader', () => second.lines.includes('leading'));
    const [third] = await openCandidates(t, url, 1);
    second.child.kill('SIGSTOP');
    await eventually('the third leader', () => third?.isLeading === true);
    assert.ok(!second.lines.includes('lost'), 'it could not know');
    second.child.kill('SIGCONT');
    await eventually('the news', () => second.lines.includes('lost'));
    assert.equal(third?.isLeading, true);
  });
});
