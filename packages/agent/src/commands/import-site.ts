import { createReadStream, existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import {
  type ArchivedBlob,
  type Clock,
  type Logger,
  printable,
  type SealedName,
  type SealedValue,
} from '@selvedge/api';
import { TarError } from '@selvedge/api/node';
import { ArchiveRefused, type ArchivePlan } from '../carry/archive-plan.ts';
import { type ArchiveSink, readArchive } from '../carry/read-archive.ts';
import { openSealedValue, SealedValueRefused } from '../credentials/open-sealed-value.ts';
import { DepotError } from '../depot/depot.ts';
import type { DepotImport } from '../depot/depot-import.ts';
import { findDepotFolder } from '../state/depot-folder.ts';
import { SealingKeys } from '../identity/sealing-keys.ts';
import { LocalActs } from '../life/local-acts.ts';
import type { AgentDatabase } from '../state/agent-database.ts';
import { isStorageFull } from '../state/agent-database.ts';
import { type CarriedState, findCarried, putCarried } from '../state/carried-state.ts';
import { contactPath, readContact } from '../state/contact-record.ts';
import { ContentStore } from '../state/content-store.ts';
import { type Enrolment, findEnrolment, findMeta } from '../state/enrolment-record.ts';
import { ringLocalBell } from '../state/local-bell.ts';
import { isAgentRunning } from '../state/state-lock.ts';
import { StateRefused } from '../sync/verify-state.ts';
import { openSite } from './site-directory.ts';

export interface ImportWish {
  readonly stateDir: string;
  /** `-`: what comes in. */
  readonly file: string;
  readonly input: Readable;
  /** Who says so. */
  readonly by: string;
  readonly clock: Clock;
  /** A line for the person who waits. */
  readonly tell: (line: string) => void;
  readonly signal: AbortSignal;
  /** Absent: images are not kept by this agent. */
  readonly images?: Pick<DepotImport, 'expect' | 'addBlob' | 'addImage'>;
}

/** How long a running agent is waited for. */
const takeUpSeconds = 30;

/**
 * Takes the archive of a site (`SiteArchiveHead`), beside a running agent or without one. Everything is proven before it is kept, and the state is
 * offered to the agent when all that it needs is here: broken off, nothing has changed but what need not be read again.
 * @returns what was done. Throws with a message for the person.
 */
export async function importSite(wish: ImportWish): Promise<string> {
  const { database } = openSite(wish.stateDir);
  try {
    const site = await SiteImport.open(wish, database);
    return await site.run();
  } catch (error) {
    throw new Error(messageOf(error, wish), { cause: error });
  } finally {
    database.close();
  }
}

/** The depot beside an agent, where that has it; undefined: it has none. */
export async function openDepotForImport(wish: {
  readonly stateDir: string;
  /** When it is not where the agent says. */
  readonly depot?: string | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
}): Promise<DepotImport | undefined> {
  const { stateDir, depot, clock, logger } = wish;
  const directory = depot ?? depotFolderOf(stateDir);
  if (directory === undefined) return undefined;
  const { DepotImport } = await import('../depot/depot-import.ts');
  return DepotImport.open({ directory, clock, logger });
}

function depotFolderOf(stateDir: string): string | undefined {
  const { database } = openSite(stateDir);
  try {
    const noted = findDepotFolder(database);
    if (noted !== undefined) return noted.directory;
  } finally {
    database.close();
  }
  const usual = join(stateDir, 'depot');
  return existsSync(usual) ? usual : undefined;
}

class SiteImport implements ArchiveSink {
  readonly #wish: ImportWish;
  readonly #database: AgentDatabase;
  readonly #enrolment: Enrolment;
  readonly #content: ContentStore;
  readonly #keys: SealingKeys;
  readonly #sealed: CarriedState['sealed'][number][] = [];
  #isFollowed = false;
  #newContents = 0;
  #newBlobs = 0;

  private constructor(parts: {
    wish: ImportWish;
    database: AgentDatabase;
    enrolment: Enrolment;
    content: ContentStore;
    keys: SealingKeys;
  }) {
    this.#wish = parts.wish;
    this.#database = parts.database;
    this.#enrolment = parts.enrolment;
    this.#content = parts.content;
    this.#keys = parts.keys;
  }

  static async open(wish: ImportWish, database: AgentDatabase): Promise<SiteImport> {
    const enrolment = findEnrolment(database) as Enrolment;
    const keysDir = join(wish.stateDir, 'keys');
    const content = await ContentStore.open(database, keysDir);
    const keys = await SealingKeys.open(keysDir, enrolment.keyFile);
    return new SiteImport({ wish, database, enrolment, content, keys });
  }

  async run(): Promise<string> {
    const { file, input, signal } = this.#wish;
    const source = file === '-' ? input : createReadStream(file, { highWaterMark: 1024 * 1024 });
    const onAbort = () => source.destroy(new Error('it was broken off'));
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      const plan = await readArchive(source, this.#enrolment, this);
      const withoutImages = await this.#nameImages(plan);
      await this.#offer(plan);
      const outcome = await this.#outcome(plan);
      return [...this.#summary(plan), ...this.#missing(plan, withoutImages), outcome]
        .map((line) => `${printable(line)}\n`)
        .join('');
    } finally {
      signal.removeEventListener('abort', onAbort);
      source.destroy();
    }
  }

  begin(plan: ArchivePlan): void {
    const { state, stateDigest, hubTime } = plan;
    const accepted = findMeta(this.#database, 'accepted');
    const mark = JSON.parse(accepted ?? '{"epoch":0}') as { epoch: number; stateDigest?: string };
    const isSame = state.epoch === mark.epoch && stateDigest === mark.stateDigest;
    if (state.epoch < mark.epoch || (state.epoch === mark.epoch && !isSame)) {
      throw new ArchiveRefused(
        `the file has the state of epoch ${state.epoch}, made at ${hubTime}, and this site already follows ${
          state.epoch === mark.epoch ? 'another one of that epoch' : `epoch ${mark.epoch}`
        }: nothing goes back in time; export it anew`,
      );
    }
    this.#isFollowed = isSame;
    const waiting = findCarried(this.#database);
    if (waiting?.offered !== undefined && waiting.epoch > state.epoch) {
      throw new ArchiveRefused(
        `the file has the state of epoch ${state.epoch}, and a newer one of epoch ${waiting.epoch} was imported already: start the agent`,
      );
    }
    this.#wish.images?.expect(plan.images ?? [], state.policy.depot?.maxBytes);
    const record = this.#record(plan);
    // What waits for the agent already stays whole until this is.
    const { epoch, contents } = record;
    const isWaiting = waiting?.offered !== undefined;
    putCarried(this.#database, isWaiting ? { ...waiting, next: { epoch, contents } } : record);
    this.#wish.tell(
      `${state.site}, epoch ${state.epoch}, made at ${hubTime}: ${countOf(state.items.length, 'application')}`,
    );
  }

  hasContent(digest: string): boolean {
    // Read, not looked up: what is damaged here is taken again.
    return this.#content.find(digest) !== undefined;
  }

  putContent(digest: string, bytes: Buffer): void {
    this.#content.put(digest, bytes);
    this.#newContents += 1;
  }

  async putSealed(name: SealedName, value: SealedValue): Promise<void> {
    const { formerSiteUids } = this.#enrolment;
    await openSealedValue(value.signed, name, { owner: this.#enrolment, formerSiteUids, keys: this.#keys });
    this.#sealed.push({ ...name, signed: value.signed });
  }

  async putBlob(blob: ArchivedBlob, content: AsyncIterable<Uint8Array>): Promise<void> {
    const { images, signal } = this.#wish;
    signal.throwIfAborted();
    if (await images?.addBlob(blob, content)) this.#newBlobs += 1;
  }

  #record(plan: ArchivePlan): CarriedState {
    return { epoch: plan.state.epoch, contents: [...plan.contents.keys()], sealed: this.#sealed };
  }

  /** Images of which something is missing. */
  async #nameImages({ images = [] }: ArchivePlan): Promise<string[]> {
    const depot = this.#wish.images;
    const incomplete: string[] = [];
    for (const { name, digest } of depot === undefined ? [] : images) {
      if (!(await depot?.addImage(name, digest))) incomplete.push(name);
    }
    return incomplete;
  }

  async #offer(plan: ArchivePlan): Promise<void> {
    const { stateDir, by, clock, signal } = this.#wish;
    signal.throwIfAborted();
    const contact = await readContact(contactPath(stateDir));
    const offsetMs = contact.clockOffsetMs ?? Number(findMeta(this.#database, 'clockOffsetMs') ?? 0);
    this.#database.transaction(() => {
      putCarried(this.#database, { ...this.#record(plan), offered: plan.offered });
      if (this.#isFollowed) return;
      new LocalActs(this.#database).append({
        time: new Date(clock.now().getTime() + offsetMs).toISOString(),
        kind: 'Import',
        by,
        message: `the state of epoch ${plan.state.epoch} was carried here in a file that the hub made at ${plan.hubTime}`,
      });
    });
    await ringLocalBell(stateDir);
  }

  /** What became of it, as far as that is known after a while. */
  async #outcome({ state }: ArchivePlan): Promise<string> {
    const { stateDir, clock, signal } = this.#wish;
    if (!isAgentRunning(stateDir)) {
      return 'The agent does not run now: it follows this state when it starts, with the hub or without.';
    }
    for (let waited = 0; waited < takeUpSeconds * 5 && !signal.aborted; waited++) {
      if (findCarried(this.#database)?.offered === undefined) {
        const accepted = JSON.parse(findMeta(this.#database, 'accepted') ?? '{}') as { epoch?: number };
        if ((accepted.epoch ?? 0) >= state.epoch) return 'The running agent follows this state now.';
        throw new ArchiveRefused('the running agent refused the state: its log says why');
      }
      await clock.sleep(200, signal);
    }
    return 'The running agent has not taken it up yet: see its log. It goes on by itself.';
  }

  #summary({ contents, blobs, images }: ArchivePlan): string[] {
    const manifests = `${countOf(contents.size, 'release')}, ${this.#newContents} of them new here`;
    const sealed = this.#sealed.length === 0 ? '' : `; ${countOf(this.#sealed.length, 'sealed value')}`;
    const parts = `${countOf(images?.length ?? 0, 'image')} of ${countOf(blobs.size, 'blob')}, ${this.#newBlobs} of them new here`;
    return [
      `Taken: ${manifests}${sealed}${images === undefined || this.#wish.images === undefined ? '' : `; ${parts}`}.`,
      ...(this.#isFollowed
        ? ['The site followed this very state already; only what it lacked was taken.']
        : []),
    ];
  }

  #missing({ state, images, leftOut }: ArchivePlan, incomplete: readonly string[]): string[] {
    const contents = state.items.filter(({ digest }) => !this.#content.has(digest));
    return [
      ...leftOut.map((line) => `Not in the file: ${line}.`),
      ...contents.map(
        ({ id }) => `Not here: the manifests of ${id}; they are fetched when the hub can be reached.`,
      ),
      ...incomplete.map(
        (name) => `Not whole here: image ${name}; the rest is fetched when its registry can be reached.`,
      ),
      ...(images !== undefined && images.length > 0 && this.#wish.images === undefined
        ? ['The images of the file were not taken: this agent has no depot.']
        : []),
    ];
  }
}

function countOf(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}

function messageOf(error: unknown, { file }: ImportWish): string {
  const shown = file === '-' ? 'the input' : file;
  if (error instanceof DepotError && error.reason === 'StorageFull') {
    return `${error.message}, and import again; what was read stays, and nothing that runs was touched`;
  }
  if (isStorageFull(error)) {
    return 'the disk of this machine is full: free some space and import again; what was read stays, and nothing that runs was touched';
  }
  const { message } = error as Error;
  if (error instanceof StateRefused || error instanceof ArchiveRefused) return `${shown}: ${message}`;
  if (error instanceof TarError || error instanceof SealedValueRefused || error instanceof DepotError)
    return `${shown}: ${message}`;
  return `${shown} could not be imported: ${message}`;
}
