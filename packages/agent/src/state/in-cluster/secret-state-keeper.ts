import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { canonicalJson, type Clock, isStatusError, type Logger, StatusError } from '@selvedge/api';
import { sha256Digest, writeFileAtomically } from '@selvedge/api/node';
import type { KubeApi } from '../../drivers/kubernetes/api/kube-api.ts';
import { AgentDatabase } from '../agent-database.ts';
import { findFile } from '../atomic-file.ts';
import { ContentStore } from '../content-store.ts';
import type { StateKeeper } from '../state-keeper.ts';
import { type Blob, isOvertaken, type KeptIndex, type StateIndex, StateSecrets } from './state-secrets.ts';
import {
  clearStateDirectory,
  exportTables,
  readStateFiles,
  stateFilesVersion,
  type StateSnapshot,
  writeSnapshot,
} from './state-snapshot.ts';

export interface SecretStateKeeperOptions {
  readonly api: KubeApi;
  readonly namespace: string;
  readonly stateDir: string;
  /** Lease identity of this agent. */
  readonly identity: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Another agent has written the kept state since this one did. */
export class StateOvertaken extends Error {}

/** Changes of one moment are kept together. */
const lookMs = 5000;
/** A part of another agent that is about to name it is not a leftover: a minute is longer than any write. */
const looksBeforeSweep = 12;
const retryMs = { first: 1000, longest: 30_000 };
/** `keepFirst` holds up the conversation with the hub. */
const keepFirstMs = 15_000;
/** In the directory: which generation of what is kept it belongs to. */
const keptFile = 'kept.json';

type Parts = { readonly database: AgentDatabase; readonly content: ContentStore };
type Change = (() => void) | undefined;

/** Keeps the state directory in Secrets of the agent's namespace; works in any cluster, without storage of any kind. */
export class SecretStateKeeper implements StateKeeper {
  readonly #o: SecretStateKeeperOptions;
  readonly #secrets: StateSecrets;
  #parts: Parts | undefined;
  #kept: KeptIndex | undefined;
  /** One write after the other. */
  #writing: Promise<unknown> = Promise.resolve();
  #overtaken: StateOvertaken | undefined;

  constructor(options: SecretStateKeeperOptions) {
    this.#o = options;
    this.#secrets = new StateSecrets(options);
  }

  async restore(signal: AbortSignal): Promise<void> {
    const kept = await this.#untilAnswered('the kept state cannot be read; waiting', signal, () =>
      this.#secrets.findIndex(signal),
    );
    if (kept === undefined || signal.aborted) return;
    const { stateDir, logger } = this.#o;
    const { index } = kept.value ?? {};
    this.#kept = kept.value;
    if (index === undefined || (await this.#localGeneration()) === index.generation) return;
    const isEmpty = (await findFileSize(join(stateDir, 'agent.db'))) === undefined;
    if (!isEmpty) {
      logger.warn(
        'the state in this directory is older than the one that is kept in the cluster; it is replaced',
      );
    }
    await this.#untilAnswered('the kept state cannot be read; waiting', signal, () =>
      this.#fetch(index, signal),
    );
    if (!signal.aborted) logger.info('state restored from the cluster', { generation: index.generation });
  }

  attach(parts: Parts): void {
    this.#parts = parts;
  }

  async keep(signal: AbortSignal): Promise<void> {
    await this.#untilAnswered('the state cannot be kept in the cluster; trying again', signal, () =>
      this.#keepNow(undefined, signal),
    );
  }

  async keepFirst(change: () => void, signal: AbortSignal): Promise<void> {
    await this.#keepNow(change, AbortSignal.any([signal, AbortSignal.timeout(keepFirstMs)]));
  }

  async run(signal: AbortSignal): Promise<void> {
    const leftovers = await this.#findLeftovers(signal);
    let keptVersion = '';
    for (let looks = 1; !signal.aborted; looks += 1) {
      const version = await this.#version();
      if (version !== keptVersion) {
        await this.keep(signal);
        keptVersion = version;
      }
      if (this.#overtaken !== undefined) throw this.#overtaken;
      if (looks === looksBeforeSweep && leftovers.length > 0) this.#removeLeftovers(leftovers, signal);
      await this.#o.clock.sleep(lookMs * (0.75 + Math.random() / 2), signal);
    }
    // What came last, when there is time for it.
    if ((await this.#version()) !== keptVersion) {
      await this.#keepNow(undefined, AbortSignal.timeout(lastWordMs)).catch((error: unknown) => {
        this.#o.logger.warn('the last changes of the state were not kept in the cluster', { error });
      });
    }
  }

  async #version(): Promise<string> {
    const { database } = this.#attached();
    const files = await stateFilesVersion(this.#o.stateDir);
    return `${files} ${String(database.find('SELECT total_changes() AS n')?.['n'])} ${database.foreignVersion}`;
  }

  #keepNow(change: Change, signal: AbortSignal): Promise<void> {
    const work = this.#writing.then(() => this.#write(change, signal));
    this.#writing = work.catch(() => {});
    return work;
  }

  async #write(change: Change, signal: AbortSignal): Promise<void> {
    if (this.#overtaken !== undefined) throw this.#overtaken;
    const { snapshot, digests } = await this.#snapshot(change);
    const bytes = Buffer.from(canonicalJson(snapshot));
    const former = this.#kept?.index;
    const isSame = former?.snapshot.digest === sha256Digest(bytes);
    if (isSame && canonicalJson(Object.keys(former.content).sort()) === canonicalJson(digests)) return;
    const content: Record<string, Blob> = {};
    for (const digest of digests) {
      const blob = former?.content[digest] ?? (await this.#writeContent(digest, signal));
      if (blob !== undefined) content[digest] = blob;
    }
    const index: StateIndex = {
      version: 1,
      generation: (former?.generation ?? 0) + 1,
      writer: this.#o.identity,
      snapshot: isSame ? former.snapshot : await this.#secrets.write(bytes, signal),
      content,
    };
    this.#kept = { index, resourceVersion: await this.#switch(index, signal) };
    await this.#noteLocalGeneration(index.generation);
    await this.#removeFormer(former, index, signal);
  }

  async #writeContent(digest: string, signal: AbortSignal): Promise<Blob | undefined> {
    const bytes = this.#attached().content.find(digest);
    return bytes === undefined ? undefined : this.#secrets.write(bytes, signal);
  }

  async #switch(index: StateIndex, signal: AbortSignal): Promise<string> {
    try {
      return await this.#secrets.writeIndex(index, this.#kept, signal);
    } catch (error) {
      if (!isOvertaken(error)) throw error;
      // A write whose answer was lost is found here, and is ours.
      const found = await this.#secrets.findIndex(signal);
      if (found !== undefined && canonicalJson(found.index) === canonicalJson(index))
        return found.resourceVersion;
      if (found?.index.writer === this.#o.identity) {
        // An earlier write of ours, and there is more to keep since.
        this.#kept = found;
        throw new StatusError('ServiceUnavailable', 'an earlier write of the state arrived late');
      }
      if (found === undefined) {
        // Deleted by a person: this agent still knows everything.
        this.#kept = undefined;
        return this.#secrets.writeIndex(index, undefined, signal);
      }
      this.#overtaken = new StateOvertaken(
        `another agent (${found.index.writer}) works with the state in ${this.#secrets.indexName}; this one ends`,
      );
      throw this.#overtaken;
    }
  }

  async #removeFormer(former: StateIndex | undefined, index: StateIndex, signal: AbortSignal): Promise<void> {
    if (former === undefined) return;
    const named = new Set(partsOf(index));
    const unnamed = partsOf(former).filter((part) => !named.has(part));
    // What stays is found by the next start.
    await this.#secrets.remove(unnamed, signal).catch((error: unknown) => {
      this.#o.logger.debug('parts of the former state could not be removed', { error });
    });
  }

  /** Parts that a crash left behind. */
  async #findLeftovers(signal: AbortSignal): Promise<readonly string[]> {
    try {
      const parts = await this.#secrets.listParts(signal);
      return parts.filter((name) => !this.#names(name));
    } catch (error) {
      this.#o.logger.debug('leftovers of the kept state could not be looked for', { error });
      return [];
    }
  }

  /** Only what is still named by nobody after a while, and while this agent is the one that writes. */
  #removeLeftovers(found: readonly string[], signal: AbortSignal): void {
    const work = this.#writing.then(async () => {
      const current = await this.#secrets.findIndex(signal);
      if (current?.resourceVersion !== this.#kept?.resourceVersion) return;
      await this.#secrets.remove(
        found.filter((name) => !this.#names(name)),
        signal,
      );
    });
    this.#writing = work.catch((error: unknown) => {
      this.#o.logger.debug('leftovers of the kept state could not be removed', { error });
    });
  }

  #names(part: string): boolean {
    return this.#kept !== undefined && partsOf(this.#kept.index).includes(part);
  }

  async #snapshot(change: Change): Promise<{ snapshot: StateSnapshot; digests: string[] }> {
    const { database } = this.#attached();
    const files = await readStateFiles(this.#o.stateDir);
    const rows = inTransaction(database, change, () => ({
      tables: exportTables(database),
      digests: database.all('SELECT digest FROM content ORDER BY digest').map((row) => String(row['digest'])),
    }));
    return { snapshot: { version: 1, ...rows.tables, files }, digests: rows.digests };
  }

  async #fetch(index: StateIndex, signal: AbortSignal): Promise<void> {
    const { stateDir, logger } = this.#o;
    const text = (await this.#secrets.read(index.snapshot, signal)).toString('utf8');
    const content = new Map<string, Buffer>();
    for (const [digest, blob] of Object.entries(index.content)) {
      try {
        content.set(digest, await this.#secrets.read(blob, signal));
      } catch (error) {
        if (isAway(error)) throw error;
        logger.warn('a release is missing in the kept state; it is fetched from the hub again', {
          digest,
          error,
        });
      }
    }
    await clearStateDirectory(stateDir);
    await writeSnapshot(stateDir, JSON.parse(text) as StateSnapshot);
    const database = AgentDatabase.open(stateDir);
    try {
      const store = await ContentStore.open(database, join(stateDir, 'keys'));
      for (const [digest, bytes] of content) store.put(digest, bytes);
    } finally {
      database.close();
    }
    await this.#noteLocalGeneration(index.generation);
  }

  async #localGeneration(): Promise<number | undefined> {
    const text = (await findFile(join(this.#o.stateDir, keptFile)))?.toString('utf8');
    return text === undefined ? undefined : (JSON.parse(text) as { generation: number }).generation;
  }

  async #noteLocalGeneration(generation: number): Promise<void> {
    await writeFileAtomically(join(this.#o.stateDir, keptFile), `${JSON.stringify({ generation })}\n`);
  }

  /** Undefined when the signal fired first. What is no trouble of the cluster is thrown. */
  async #untilAnswered<T>(
    message: string,
    signal: AbortSignal,
    ask: () => Promise<T>,
  ): Promise<{ value: T } | undefined> {
    for (let pauseMs = retryMs.first; !signal.aborted; pauseMs = Math.min(pauseMs * 2, retryMs.longest)) {
      try {
        return { value: await ask() };
      } catch (error) {
        if (signal.aborted) return undefined;
        if (!isAway(error)) throw error;
        this.#o.logger.error(message, { error });
        await this.#o.clock.sleep(pauseMs * (0.75 + Math.random() / 2), signal);
      }
    }
    return undefined;
  }

  #attached(): Parts {
    if (this.#parts === undefined) throw new Error('nothing is attached to keep');
    return this.#parts;
  }
}

const lastWordMs = 5000;

class Undone<T> {
  readonly value: T;
  constructor(value: T) {
    this.value = value;
  }
}

/** What `read` finds after `change`, which is undone; both in one transaction. */
function inTransaction<T>(database: AgentDatabase, change: Change, read: () => T): T {
  try {
    database.transaction(() => {
      change?.();
      // Thrown, because only a failed transaction leaves nothing behind.
      // oxlint-disable-next-line typescript/only-throw-error
      throw new Undone(read());
    });
  } catch (outcome) {
    if (outcome instanceof Undone) return outcome.value as T;
    throw outcome;
  }
  throw new Error('a transaction that throws cannot succeed');
}

function partsOf(index: StateIndex): string[] {
  return [index.snapshot, ...Object.values(index.content)].flatMap((blob) => blob.parts);
}

/** The API is away, busy or says no, which a person can change: to be tried again. */
function isAway(error: unknown): boolean {
  return isStatusError(error);
}

async function findFileSize(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch {
    return undefined;
  }
}
