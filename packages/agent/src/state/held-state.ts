import type { DesiredItem, DesiredState, KubeObject, Logger, SignedStateHeader } from '@selvedge/api';
import { canonicalJson } from '@selvedge/api';
import type { DriverItem, RemovalOrder } from '../drivers/driver.ts';
import { keyOf } from '../sync/merge-state.ts';
import { checkStateDigest, StateRefused, type StateOwner, verifySignedState } from '../sync/verify-state.ts';
import type { AgentDatabase } from './agent-database.ts';
import type { ContentStore } from './content-store.ts';
import { findMeta, putMeta } from './enrolment-record.ts';

interface SignedState {
  readonly header: SignedStateHeader;
  readonly state: DesiredState;
}

/**
 * What this site is to run, on disk: the accepted desired state, and the items that the driver was given. These differ
 * while content of a new release is still on its way (what ran before goes on) and when an item is no longer in the
 * desired state without a tombstone (absence deletes nothing). Each item is kept with the signed state that it came in, so
 * that whatever is driven after a restart is proven again.
 */
export class HeldState {
  readonly #database: AgentDatabase;
  readonly #content: ContentStore;
  readonly #logger: Logger;
  #accepted: SignedState | undefined;
  /** By `keyOf`. */
  #items = new Map<string, { item: DesiredItem; from: SignedState }>();

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
    held.#accepted = accepted?.header.siteUid === options.owner.siteUid ? accepted : undefined;
    for (const row of options.database.all('SELECT id, uid, state_digest FROM items')) {
      const from = states.get(row['state_digest'] as string);
      const item = from?.state.items.find((one) => one.id === row['id'] && one.uid === row['uid']);
      if (from !== undefined && item !== undefined) held.#items.set(keyOf(item), { item, from });
    }
    return held;
  }

  /** Undefined before the first, and when the stored one was damaged. */
  get accepted(): DesiredState | undefined {
    return this.#accepted?.state;
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
    const accepted = { header, state };
    const items = new Map(this.#items);
    for (const tombstone of state.tombstones) items.delete(keyOf(tombstone));
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
      this.#giveItems(items, accepted);
    });
    this.#accepted = accepted;
    this.#items = items;
  }

  /** Content arrived: items that waited for it are given to the driver from now on. True when there were any. */
  giveArrived(): boolean {
    const accepted = this.#accepted;
    if (accepted === undefined) return false;
    const items = new Map(this.#items);
    const given = this.#database.transaction(() => this.#giveItems(items, accepted));
    this.#items = items;
    return given;
  }

  /** Digests that the accepted state needs and that are not here. */
  missingContent(): string[] {
    const digests = new Set(this.#accepted?.state.items.map((item) => item.digest));
    for (const { item } of this.#items.values()) digests.add(item.digest);
    return [...digests].filter((digest) => !this.#content.has(digest));
  }

  /** What the driver is to run now. */
  driverItems(kind: string): DriverItem[] {
    return [...this.#items.values()]
      .filter(({ item }) => item.id.startsWith(`${kind}/`))
      .map(({ item, from }) => ({
        item,
        siteName: from.state.site,
        variables: (this.#accepted ?? from).state.variables,
        manifests: () => this.#readManifests(item),
      }));
  }

  openRemovals(): RemovalOrder[] {
    return this.#database
      .all('SELECT id, uid, epoch FROM removals WHERE done = 0 ORDER BY id, uid')
      .map((row) => ({ id: String(row['id']), uid: String(row['uid']), epoch: Number(row['epoch']) }));
  }

  /** The order was carried out; the tombstone may come again and again, it is not carried out again. */
  markRemoved(order: RemovalOrder): void {
    this.#database.run(
      'UPDATE removals SET done = 1 WHERE id = ? AND uid = ? AND epoch <= ?',
      order.id,
      order.uid,
      order.epoch,
    );
  }

  /** Desired, given to the driver before, or to be removed: reports of such items matter. */
  knows(item: { id: string; uid: string }): boolean {
    if (this.#items.has(keyOf(item)) || this.findDesired(item) !== undefined) return true;
    return (
      this.#database.find('SELECT 1 FROM removals WHERE id = ? AND uid = ?', item.id, item.uid) !== undefined
    );
  }

  findDesired(item: { id: string; uid: string }): DesiredItem | undefined {
    return this.#accepted?.state.items.find((one) => one.id === item.id && one.uid === item.uid);
  }

  /** Items that run here though no desired state names them any more: no tombstone came, so nothing was removed. */
  orphans(): DesiredItem[] {
    if (this.#accepted === undefined) return [];
    return [...this.#items.values()].map(({ item }) => item).filter((item) => !this.findDesired(item));
  }

  /** Removes content and states that nothing here needs. `running`: digests that the driver may go back to. */
  collectGarbage(running: Iterable<string>): void {
    // Without a proven state it is not known what is needed.
    if (this.#accepted === undefined) return;
    const digests = new Set(running);
    const states = new Set<string>();
    states.add(this.#accepted.header.stateDigest);
    for (const item of this.#accepted.state.items) digests.add(item.digest);
    for (const { item, from } of this.#items.values()) {
      digests.add(item.digest);
      states.add(from.header.stateDigest);
    }
    this.#database.transaction(() => {
      this.#content.retain(digests);
      for (const row of this.#database.all('SELECT digest FROM states')) {
        const digest = row['digest'] as string;
        if (states.has(digest)) continue;
        this.#database.run('DELETE FROM items WHERE state_digest = ?', digest);
        this.#database.run('DELETE FROM states WHERE digest = ?', digest);
      }
    });
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
    for (const { id, uid, epoch } of state.tombstones) {
      this.#database.run(
        `INSERT INTO removals (id, uid, epoch, done) VALUES (?, ?, ?, 0)
         ON CONFLICT (id, uid) DO UPDATE SET epoch = excluded.epoch, done = 0 WHERE excluded.epoch > epoch`,
        id,
        uid,
        epoch,
      );
      this.#database.run('DELETE FROM items WHERE id = ? AND uid = ?', id, uid);
    }
    for (const { id, uid } of state.items) {
      this.#database.run('DELETE FROM removals WHERE id = ? AND uid = ?', id, uid);
    }
  }

  /** Puts every desired item whose content is here into `items` and the database. */
  #giveItems(items: Map<string, { item: DesiredItem; from: SignedState }>, accepted: SignedState): boolean {
    let given = false;
    for (const item of accepted.state.items) {
      const held = items.get(keyOf(item));
      if (held?.from === accepted || !this.#content.has(item.digest)) continue;
      items.set(keyOf(item), { item, from: accepted });
      this.#database.run(
        'INSERT OR REPLACE INTO items (id, uid, state_digest) VALUES (?, ?, ?)',
        item.id,
        item.uid,
        accepted.header.stateDigest,
      );
      given = true;
    }
    return given;
  }

  async #readManifests(item: DesiredItem): Promise<readonly KubeObject[]> {
    const bytes = this.#content.find(item.digest);
    if (bytes === undefined) {
      throw new Error(
        `the manifests of ${item.id} (${item.digest}) are not on this machine; they are being fetched`,
      );
    }
    return JSON.parse(bytes.toString('utf8')) as KubeObject[];
  }
}
