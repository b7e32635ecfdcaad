import { noSettings, type UnsavedRow } from '../fleet-rules.ts';
import type { DeliveryRow, FleetChange, SiteKey, SiteSettings } from '../fleet-store.ts';
import type { SiteFacts } from './fleet-rows.ts';

/** What a write may look at; it is loaded before the write runs. */
export interface FleetNeeds {
  /** Epoch, settings and key. */
  readonly sites?: readonly string[];
  /** All rows of these. */
  readonly rowsOfSites?: readonly string[];
  /** All lives of these. */
  readonly applications?: readonly ApplicationName[];
}

export interface ApplicationName {
  readonly site: string;
  readonly namespace: string;
  readonly application: string;
}

export interface LoadedFleet {
  readonly revision: number;
  readonly sites: ReadonlyMap<string, SiteFacts>;
  readonly keys: ReadonlyMap<string, SiteKey>;
  readonly rows: readonly DeliveryRow[];
}

/**
 * What one transaction looks at and changes, in memory: loaded under the lock of all writers, written back in the end.
 * A write that throws is undone alone.
 */
export class FleetScope {
  readonly changes: FleetChange[] = [];
  /** Rows, sites and keys to be written back; `null`: to be removed. */
  readonly savedRows = new Map<string, DeliveryRow>();
  readonly savedSites = new Map<string, SiteFacts>();
  readonly raisedSites = new Set<string>();
  readonly savedKeys = new Map<string, SiteKey | null>();
  /** Their heartbeats are to be removed. */
  readonly forgottenSites = new Set<string>();
  readonly #sites: Map<string, SiteFacts>;
  readonly #keys: Map<string, SiteKey | null>;
  /** By name, then by uid of the life. */
  readonly #rows = new Map<string, Map<string, DeliveryRow>>();
  #revision: number;
  /** Per site whose epoch grew in the write that runs. */
  #newEpochs = new Map<string, number>();
  #undo: (() => void)[] = [];

  constructor(loaded: LoadedFleet) {
    this.#revision = loaded.revision;
    this.#sites = new Map(loaded.sites);
    this.#keys = new Map(loaded.keys);
    for (const row of loaded.rows) this.#livesOf(row).set(row.applicationUid, row);
  }

  get revision(): number {
    return this.#revision;
  }

  /** Whether anything is to be written back. */
  get hasChanged(): boolean {
    return this.savedRows.size + this.savedSites.size + this.savedKeys.size + this.forgottenSites.size > 0;
  }

  /** One write: its epochs are announced behind its rows, and when it throws nothing of it stays. */
  run<Value>(work: (scope: FleetScope) => Value): Value {
    this.#undo = [];
    this.#newEpochs = new Map();
    const revision = this.#revision;
    const changes = this.changes.length;
    try {
      const value = work(this);
      for (const [site, epoch] of this.#newEpochs) this.changes.push({ kind: 'site', site, epoch });
      return value;
    } catch (error) {
      for (const undo of this.#undo.reverse()) undo();
      this.#revision = revision;
      this.changes.length = changes;
      throw error;
    }
  }

  findSite(site: string): SiteFacts | undefined {
    return this.#sites.get(site);
  }

  siteOrUnknown(site: string): SiteFacts {
    return this.#sites.get(site) ?? unknownSite;
  }

  findKey(site: string): SiteKey | undefined {
    return this.#keys.get(site) ?? undefined;
  }

  setKey(key: SiteKey): void {
    this.#set(this.#keys, key.site, key);
    this.#set(this.savedKeys, key.site, key);
  }

  removeKey(site: string): void {
    this.#set(this.#keys, site, null);
    this.#set(this.savedKeys, site, null);
  }

  forgetHeartbeat(site: string): void {
    if (this.forgottenSites.has(site)) return;
    this.forgottenSites.add(site);
    this.#undo.push(() => this.forgottenSites.delete(site));
  }

  findRow(name: ApplicationName, applicationUid: string): DeliveryRow | undefined {
    return this.#rows.get(nameOf(name))?.get(applicationUid);
  }

  findWanted(name: ApplicationName): DeliveryRow | undefined {
    const lives = this.#rows.get(nameOf(name))?.values() ?? [];
    return [...lives].find((row) => row.phase === 'Wanted' && !row.deleted);
  }

  /** Those that are not deleted, in the order of names. */
  rowsOf(site: string): DeliveryRow[] {
    const rows = [...this.#rows.values()].flatMap((lives) => [...lives.values()]);
    return rows.filter((row) => row.site === site && !row.deleted).sort(byName);
  }

  /** Gives the row the next revision; without `createRevision` a new life begins. */
  save(row: UnsavedRow): DeliveryRow {
    this.#revision += 1;
    const saved = {
      ...row,
      revision: this.#revision,
      createRevision: row.createRevision ?? this.#revision,
    };
    this.#set(this.#livesOf(row), row.applicationUid, saved);
    this.#set(this.savedRows, rowName(saved), saved);
    this.changes.push({ kind: 'delivery', row: saved });
    return saved;
  }

  /** The epoch that this write gives the site: one more than before, once per write and site. */
  newEpoch(site: string): number {
    const known = this.#newEpochs.get(site);
    if (known !== undefined) return known;
    const epoch = this.siteOrUnknown(site).epoch + 1;
    this.setEpoch(site, epoch);
    return epoch;
  }

  /** Never below the present one. */
  setEpoch(site: string, epoch: number): void {
    this.#newEpochs.set(site, epoch);
    this.#saveSite(site, { ...this.siteOrUnknown(site), epoch });
    if (!this.raisedSites.has(site)) {
      this.raisedSites.add(site);
      this.#undo.push(() => this.raisedSites.delete(site));
    }
  }

  /** Of a site whose epoch this write raises. */
  setSettings(site: string, { variables, policy }: SiteSettings): void {
    this.#saveSite(site, { epoch: this.newEpoch(site), variables, policy });
  }

  #saveSite(site: string, facts: SiteFacts): void {
    this.#set(this.#sites, site, facts);
    this.#set(this.savedSites, site, facts);
  }

  #livesOf(name: ApplicationName): Map<string, DeliveryRow> {
    const lives = this.#rows.get(nameOf(name)) ?? new Map<string, DeliveryRow>();
    this.#rows.set(nameOf(name), lives);
    return lives;
  }

  #set<Value>(map: Map<string, Value>, name: string, value: Value): void {
    const had = map.has(name);
    const before = map.get(name);
    this.#undo.push(() => (had ? map.set(name, before as Value) : map.delete(name)));
    map.set(name, value);
  }
}

/** Of a site that was never heard of. */
export const unknownSite: SiteFacts = { epoch: 0, ...noSettings };

const nameOf = ({ site, namespace, application }: ApplicationName): string =>
  [site, namespace, application].join('\n');

const rowName = (row: DeliveryRow): string => `${nameOf(row)}\n${row.applicationUid}`;

const byName = (a: DeliveryRow, b: DeliveryRow): number =>
  rowName(a) < rowName(b) ? -1 : rowName(a) > rowName(b) ? 1 : 0;
