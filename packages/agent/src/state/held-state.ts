import {
  canonicalJson,
  defaultItemTerms,
  defaultSitePolicy,
  type DesiredItem,
  type DesiredState,
  type LinkAccess,
  type Logger,
  type RemovalMode,
  type SignedStateHeader,
  type SitePolicy,
} from '@selvedge/api';
import type { RemovalOrder } from '../drivers/driver.ts';
import { keyOf } from '../sync/merge-state.ts';
import { checkStateDigest, StateRefused, type StateOwner, verifySignedState } from '../sync/verify-state.ts';
import type { AgentDatabase } from './agent-database.ts';
import type { ContentStore } from './content-store.ts';
import { carriedContents } from './carried-state.ts';
import { findMeta, putMeta } from './enrolment-record.ts';

interface SignedState {
  readonly header: SignedStateHeader;
  readonly state: DesiredState;
}

/** Values of the site that items are resolved with. */
export type SiteVariables = DesiredState['variables'];

/**
 * What this site is wanted to run, on disk: the accepted desired state, proven again at each start, and the orders to
 * remove that came with it. What truly runs is remembered in `life/`.
 */
export class HeldState {
  readonly #database: AgentDatabase;
  readonly #content: ContentStore;
  readonly #logger: Logger;
  #accepted: SignedState | undefined;
  /** The newest state that was proven, also one of the site before it was made again. */
  #proven: DesiredState | undefined;
  #former: DesiredItem[] = [];
  /** By `keyOf`. */
  #items = new Map<string, DesiredItem>();

  private constructor(options: { database: AgentDatabase; content: ContentStore; logger: Logger }) {
    this.#database = options.database;
    this.#content = options.content;
    this.#logger = options.logger;
  }

  /** Reads and verifies everything. What does not verify is left out and logged: it is fetched again. */
  static async load(options: {
    database: AgentDatabase;
    content: ContentStore;
    owner: StateOwner;
    /** The site was deleted and made again: what came under its earlier uids still runs, but is no longer the desired state. */
    formerSiteUids: readonly string[];
    logger: Logger;
  }): Promise<HeldState> {
    const held = new HeldState(options);
    const states = await held.#loadStates(options.owner, options.formerSiteUids);
    const accepted = states.get(held.acceptedMark.stateDigest);
    held.#accept(accepted?.header.siteUid === options.owner.siteUid ? accepted : undefined);
    held.#proven = accepted?.state ?? [...states.values()].at(-1)?.state;
    for (const row of options.database.all('SELECT id, uid, state_digest FROM items')) {
      const from = states.get(row['state_digest'] as string);
      const item = from?.state.items.find((one) => one.id === row['id'] && one.uid === row['uid']);
      if (item !== undefined) held.#former.push(withTerms(item));
    }
    return held;
  }

  /** What an agent before local decisions had given to its driver: to be taken over once, see `forgetFormer`. */
  get former(): readonly DesiredItem[] {
    return this.#former;
  }

  /** They are remembered elsewhere now. */
  forgetFormer(): void {
    if (this.#former.length === 0) return;
    this.#database.run('DELETE FROM items');
    this.#former = [];
  }

  /** Undefined before the first, and when the stored one was damaged. */
  get accepted(): DesiredState | undefined {
    return this.#accepted?.state;
  }

  /** Desired items; without an accepted state none is known. */
  get items(): readonly DesiredItem[] {
    return [...this.#items.values()];
  }

  /** Undefined while no state is proven: then nothing is given to the driver, and what it has runs on. */
  get variables(): SiteVariables | undefined {
    return (this.#accepted?.state ?? this.#proven)?.variables;
  }

  /** The same object as long as it is the same policy. */
  get policy(): SitePolicy {
    // States of earlier versions have none.
    const state = (this.#accepted?.state ?? this.#proven) as Partial<DesiredState> | undefined;
    return state?.policy ?? defaultSitePolicy;
  }

  /** What people may ask of this site over the hub: nothing until a state that the fleet key has signed says so. */
  get link(): LinkAccess {
    return this.variables === undefined ? 'Disabled' : (this.policy.link ?? 'Read');
  }

  /** The accepted state as it was signed, for a hub that lost its memory. */
  findSigned(): { signed: string; state: DesiredState } | undefined {
    if (this.#accepted === undefined) return undefined;
    const { header, state } = this.#accepted;
    const row = this.#database.find('SELECT signed FROM states WHERE digest = ?', header.stateDigest);
    return row && { signed: row['signed'] as string, state };
  }

  /** Newest state ever accepted; the agent never goes behind it, whatever became of the state itself. */
  get acceptedMark(): { epoch: number; stateDigest: string } {
    const text = findMeta(this.#database, 'accepted');
    if (text === undefined) return { epoch: 0, stateDigest: '' };
    return JSON.parse(text) as { epoch: number; stateDigest: string };
  }

  /** Throws `StateRefused` when a state with this header would be a step back in time, or to the side. */
  checkNotOlder(header: SignedStateHeader): void {
    const mark = this.acceptedMark;
    if (header.epoch < mark.epoch) {
      throw new StateRefused(
        'OlderEpoch',
        `the hub offers epoch ${header.epoch}, this site already follows epoch ${mark.epoch}; was the hub restored from a backup?`,
        header.epoch,
      );
    }
    if (header.epoch === mark.epoch && header.stateDigest !== mark.stateDigest) {
      throw new StateRefused(
        'OlderEpoch',
        `the hub offers another state than the one this site follows under the same epoch ${header.epoch}; was the hub restored from a backup?`,
        header.epoch,
      );
    }
  }

  /** Takes a verified state, durably and as a whole: its tombstones become orders to remove. */
  accept(signed: string, header: SignedStateHeader, state: DesiredState): void {
    this.checkNotOlder(header);
    this.store(signed, header, state);
    this.#accept({ header, state });
  }

  /** Of `accept`, what the database gets. */
  store(signed: string, header: SignedStateHeader, state: DesiredState): void {
    this.#database.transaction(() => {
      this.#database.run(
        'INSERT OR REPLACE INTO states (digest, signed, body) VALUES (?, ?, ?)',
        header.stateDigest,
        signed,
        canonicalJson(state),
      );
      putMeta(
        this.#database,
        'accepted',
        JSON.stringify({ epoch: header.epoch, stateDigest: header.stateDigest }),
      );
      this.#orderRemovals(state);
    });
  }

  openRemovals(): RemovalOrder[] {
    return this.#database
      .all('SELECT id, uid, epoch, mode FROM removals WHERE done = 0 ORDER BY id, uid')
      .map((row) => ({
        id: String(row['id']),
        uid: String(row['uid']),
        epoch: Number(row['epoch']),
        mode: String(row['mode']) as RemovalMode,
      }));
  }

  /** The order was carried out; the tombstone may come again and again, it is not carried out again. */
  markRemoved(order: { id: string; uid: string; epoch: number }): void {
    this.#database.run(
      'UPDATE removals SET done = 1 WHERE id = ? AND uid = ? AND epoch <= ?',
      order.id,
      order.uid,
      order.epoch,
    );
  }

  /** An order to remove it came, carried out or not. */
  hasRemoval(item: { id: string; uid: string }): boolean {
    return (
      this.#database.find('SELECT 1 FROM removals WHERE id = ? AND uid = ?', item.id, item.uid) !== undefined
    );
  }

  findDesired(item: { id: string; uid: string }): DesiredItem | undefined {
    return this.#items.get(keyOf(item));
  }

  /** Removes content and states that nothing here needs. `needed`: digests of what runs or may run again. */
  collectGarbage(needed: Iterable<string>): void {
    // Without a proven state it is not known what is needed.
    if (this.#accepted === undefined || this.#former.length > 0) return;
    const digests = new Set(needed);
    for (const { digest, terms } of this.items) {
      digests.add(digest);
      if (terms.fallback !== undefined) digests.add(terms.fallback.digest);
    }
    const { stateDigest, epoch } = this.#accepted.header;
    for (const one of carriedContents(this.#database, epoch)) digests.add(one);
    this.#database.transaction(() => {
      this.#content.retain(digests);
      this.#database.run('DELETE FROM states WHERE digest <> ?', stateDigest);
    });
  }

  #accept(accepted: SignedState | undefined): void {
    this.#accepted = accepted;
    this.#items = new Map(accepted?.state.items.map((item) => [keyOf(item), withTerms(item)]));
  }

  async #loadStates(owner: StateOwner, formerSiteUids: readonly string[]): Promise<Map<string, SignedState>> {
    const states = new Map<string, SignedState>();
    for (const row of this.#database.all('SELECT digest, signed, body FROM states')) {
      const digest = row['digest'] as string;
      try {
        const state = JSON.parse(row['body'] as string) as DesiredState;
        const siteUid = formerSiteUids.includes(state.siteUid) ? state.siteUid : owner.siteUid;
        const header = await verifySignedState(row['signed'] as string, { ...owner, siteUid });
        checkStateDigest(state, header);
        states.set(digest, { header, state });
      } catch (error) {
        this.#logger.error(
          'a stored desired state does not verify and is not used; asking the hub for it again',
          {
            stateDigest: digest,
            error,
          },
        );
      }
    }
    return states;
  }

  #orderRemovals(state: DesiredState): void {
    for (const { id, uid, epoch, mode } of state.tombstones) {
      this.#database.run(
        `INSERT INTO removals (id, uid, epoch, mode, done) VALUES (?, ?, ?, ?, 0)
         ON CONFLICT (id, uid) DO UPDATE SET epoch = excluded.epoch, mode = excluded.mode, done = 0
         WHERE excluded.epoch > epoch`,
        id,
        uid,
        epoch,
        mode,
      );
    }
    for (const { id, uid } of state.items) {
      this.#database.run('DELETE FROM removals WHERE id = ? AND uid = ?', id, uid);
    }
  }
}

/** States of earlier versions have no terms. */
function withTerms(item: DesiredItem): DesiredItem {
  const terms = item.terms as DesiredItem['terms'] | undefined;
  return terms === undefined ? { ...item, terms: defaultItemTerms } : item;
}
