import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { sha256Digest, systemClock } from '@selvedge/api/node';
import type { Store, StoreEvent } from '@selvedge/store';
import {
  crashBlob,
  crashKey,
  crashObjectsPerResource,
  crashResources,
  crashSites,
  crashThing,
  type WriterLine,
} from './write-until-killed.ts';

export interface CrashOptions {
  readonly rounds: number;
  /** A program (of the engine's tests) that opens the database and calls `writeUntilKilled(store, firstMark)`. */
  readonly writer: { readonly file: string; readonly args: readonly string[] };
  /** Longest time that a writer lives behind its first words; default 400 ms. */
  readonly longestMilliseconds?: number;
  /** Opens the same database, with `crashKeys`. */
  open(): Promise<Store>;
  /** Called after each round. */
  readonly onRound?: (round: number, acknowledged: number) => void;
}

/** What is known of one thing that was written. */
interface Known {
  /** Of the last acknowledged write. */
  mark: number;
  isDeleted: boolean;
  revision: number;
  /** Marks of writes asked for since then, which may or may not have happened. */
  pending: { mark: number; isDeletion: boolean }[];
}

/**
 * Kills a writer with SIGKILL at a random instant, again and again, and looks each time whether everything that it
 * acknowledged is there, no revision was given out twice, and `verify` finds nothing wrong. Returns how many writes
 * were acknowledged.
 */
export async function crashRounds(options: CrashOptions): Promise<number> {
  const ledger = new Ledger();
  for (let round = 0; round < options.rounds; round++) {
    for (const line of await writeAndKill(options, ledger.nextMark)) ledger.take(line);
    const store = await options.open();
    try {
      await ledger.check(store);
    } finally {
      await store.close();
    }
    options.onRound?.(round + 1, ledger.acknowledged);
  }
  return ledger.acknowledged;
}

async function writeAndKill(options: CrashOptions, firstMark: number): Promise<WriterLine[]> {
  const { writer, longestMilliseconds = 400 } = options;
  const child = spawn(process.execPath, [writer.file, ...writer.args, String(firstMark)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  const lines = createInterface({ input: child.stdout });
  const ended = once(lines, 'close');
  const said: WriterLine[] = [];
  lines.on('line', (line) => {
    if (line.endsWith('}')) said.push(JSON.parse(line) as WriterLine);
  });
  await Promise.race([once(lines, 'line'), exited.then(() => failIfEnded(child))]);
  await systemClock.sleep(Math.random() ** 2 * longestMilliseconds);
  failIfEnded(child);
  child.kill('SIGKILL');
  await exited;
  await ended;
  return said;
}

/** The writer never ends by itself: something was wrong. */
function failIfEnded(child: ChildProcess): void {
  assert.ok(
    child.exitCode === null && child.signalCode === null,
    'the writer ended by itself, see its output',
  );
}

/** Everything that was asked for and acknowledged, over all rounds. */
class Ledger {
  nextMark = 1;
  acknowledged = 0;
  readonly #things = new Map<string, Known>();
  readonly #epochs = new Map<string, number>();
  /** The newest revision when the store was last looked at: what is acknowledged later is above it. */
  #revision = 1;
  /** Acknowledged since then. */
  #revisions = new Set<number>();

  take(line: WriterLine): void {
    if (line.type === 'open') return;
    this.nextMark = Math.max(this.nextMark, line.mark + 1);
    const known = this.#things.get(line.thing) ?? { mark: 0, isDeleted: true, revision: 0, pending: [] };
    this.#things.set(line.thing, known);
    const isDeletion = line.isDeletion ?? false;
    if (line.type === 'asked') {
      known.pending.push({ mark: line.mark, isDeletion });
      return;
    }
    this.acknowledged += 1;
    if (line.revision !== undefined) this.#takeRevision(line.revision);
    // Two writers of one object may be acknowledged in either order: the later revision counts.
    if (line.revision !== undefined && line.revision < known.revision) return;
    known.mark = line.mark;
    known.isDeleted = isDeletion;
    known.revision = line.revision ?? 0;
    known.pending = known.pending.filter((p) => p.mark !== line.mark || p.isDeletion !== isDeletion);
  }

  #takeRevision(revision: number): void {
    assert.ok(revision > this.#revision, `revision ${revision} was given out before (${this.#revision})`);
    assert.ok(!this.#revisions.has(revision), `revision ${revision} was given out twice`);
    this.#revisions.add(revision);
  }

  async check(store: Store): Promise<void> {
    const { objects, fleet } = store;
    const verdict = await store.verify(new AbortController().signal);
    assert.deepEqual(verdict.problems, []);
    const revision = await objects.currentRevision();
    for (const given of this.#revisions)
      assert.ok(given <= revision, `revision ${given} is lost (${revision})`);
    for (const resource of crashResources) {
      for (let number = 0; number < crashObjectsPerResource; number++) {
        const key = crashKey(resource, number);
        const found = await objects.find(key);
        const mark = found && (JSON.parse(found.body) as { mark: number }).mark;
        this.#compare(crashThing(key), mark, found?.revision);
      }
      await compareEventsWithList(store, resource, verdict.compactedRevision);
    }
    const epochs = await fleet.siteEpochs();
    for (const site of crashSites) {
      const { rows, variables, policy } = await fleet.siteState(site);
      const [row] = rows;
      this.#compare(site, row && Number(row.digest.split(':')[1]), undefined);
      assert.equal(row?.terms.attempt, row && Number(row.digest.split(':')[1]));
      const adopted = Number(variables['adopted'] ?? 0);
      assert.ok((row?.terms.attempt ?? 0) >= adopted, `${site} was adopted in part`);
      assert.equal(policy.hold?.reason, adopted === 0 ? undefined : `mark ${adopted}`);
      const epoch = epochs.get(site) ?? 0;
      assert.ok(epoch >= (this.#epochs.get(site) ?? 0), `the epoch of ${site} went back`);
      this.#epochs.set(site, epoch);
    }
    await this.#checkBlobs(store);
    this.#revision = revision;
    this.#revisions = new Set();
  }

  async #checkBlobs({ fleet }: Store): Promise<void> {
    for (const [thing, { mark }] of this.#things) {
      if (!thing.startsWith('blob ')) continue;
      const number = Number(thing.slice(5));
      const bytes = await fleet.findBlob(sha256Digest(crashBlob(number)));
      if (bytes !== undefined) assert.ok(crashBlob(number).equals(bytes), `${thing} has other bytes`);
      this.#compare(thing, bytes && Math.max(mark, number), undefined);
      // The next writer does not know it: not written again, so it need not be looked at again.
      this.#things.delete(thing);
    }
  }

  /** What is found was acknowledged last, or is one of the writes that were under way. Then it is what is known. */
  #compare(thing: string, mark: number | undefined, revision: number | undefined): void {
    const known = this.#things.get(thing);
    if (known === undefined) {
      assert.equal(mark, undefined, `${thing} was never written`);
      return;
    }
    const isAsAcknowledged = mark === undefined ? known.isDeleted : !known.isDeleted && mark === known.mark;
    const isPending = known.pending.some((p) =>
      mark === undefined ? p.isDeletion : p.mark === mark && !p.isDeletion,
    );
    const last = known.isDeleted ? 'deleted' : `mark ${known.mark}`;
    assert.ok(isAsAcknowledged || isPending, `${thing}: acknowledged ${last}, found ${mark ?? 'nothing'}`);
    if (revision !== undefined) {
      assert.ok(revision >= known.revision, `${thing} went back from ${known.revision} to ${revision}`);
      this.#things.set(thing, { mark: mark ?? 0, isDeleted: false, revision, pending: [] });
    } else {
      this.#things.set(thing, {
        mark: mark ?? 0,
        isDeleted: mark === undefined,
        revision: known.revision,
        pending: [],
      });
    }
  }
}

/** What a list says, the list of an older revision and the events since then say too. */
async function compareEventsWithList({ objects }: Store, resource: string, from: number): Promise<void> {
  const { objects: now } = await objects.list({ resource });
  const { objects: then } = await objects.list({ resource, atRevision: from });
  const living = new Map(then.map((object) => [object.key.name, object]));
  const { signal } = new AbortController();
  let last = from;
  for await (const event of objects.watch({ resource, fromRevision: from, signal })) {
    if (event.type === 'progress') break;
    assert.ok(event.object.revision > last, 'events are in order');
    last = event.object.revision;
    applyEvent(living, event);
  }
  const byName = (a: { key: { name: string } }, b: { key: { name: string } }) =>
    a.key.name < b.key.name ? -1 : 1;
  assert.deepEqual([...living.values()].toSorted(byName), now.toSorted(byName));
}

function applyEvent(living: Map<string, unknown>, event: StoreEvent & { type: 'put' | 'delete' }): void {
  if (event.type === 'put') living.set(event.object.key.name, event.object);
  else living.delete(event.object.key.name);
}
