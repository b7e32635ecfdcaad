import type { Logger, SealedName } from '@selvedge/api';
import type { AgentDatabase } from '../state/agent-database.ts';
import { type OpenedValue, type Opening, openSealedValue } from './open-sealed-value.ts';

/** A value that is here. */
export interface KeptValue {
  readonly version: string;
  readonly value: OpenedValue;
  /** By the hub's clock. */
  readonly fetchedAt: Date;
}

/**
 * Values for this site: on disk as they came, sealed to its key and signed; opened in memory. Of each id the versions that something here
 * needs, and always the two newest: while one takes the place of the other, a restart finds both.
 */
export class SealedStore {
  readonly #o: { readonly database: AgentDatabase; readonly logger: Logger; readonly opening: Opening };
  /** By id, the oldest first. */
  readonly #values = new Map<string, KeptValue[]>();
  readonly #listeners: (() => void)[] = [];

  private constructor(options: { database: AgentDatabase; logger: Logger; opening: Opening }) {
    this.#o = options;
  }

  /** Reads and opens everything; what does not open is left out, and fetched again. */
  static async load(options: Opening & { database: AgentDatabase; logger: Logger }): Promise<SealedStore> {
    const { database, logger, ...opening } = options;
    const store = new SealedStore({ database, logger, opening });
    await store.#read();
    return store;
  }

  async #read(): Promise<void> {
    const { database, logger, opening } = this.#o;
    for (const row of database.all('SELECT id, version, fetched, signed FROM sealed ORDER BY number')) {
      const name = { id: String(row['id']), version: String(row['version']) };
      const fetchedAt = new Date(String(row['fetched']));
      try {
        const value = await openSealedValue(String(row['signed']), name, opening);
        this.#put(name, { value, fetchedAt });
      } catch (error) {
        const { message } = error as Error;
        logger.warn('a kept value does not open; asking the hub for it again', {
          id: name.id,
          error: message,
        });
      }
    }
  }

  /** A value came, or another one of the same version. */
  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  find({ id, version }: SealedName): KeptValue | undefined {
    return this.#values.get(id)?.find((kept) => kept.version === version);
  }

  /** Of all versions that are here. */
  newest(id: string): KeptValue | undefined {
    return this.#values.get(id)?.at(-1);
  }

  /**
   * Keeps a value as it came from the hub, by whatever way. Throws `SealedValueRefused` for what is none for this site; what the database throws
   * on a full disk, with nothing changed.
   */
  async keep(name: SealedName, signed: string, fetchedAt: Date): Promise<void> {
    const { database, opening } = this.#o;
    const value = await openSealedValue(signed, name, opening);
    insert(database, name, { signed, fetchedAt });
    this.#put(name, { value, fetchedAt });
    this.#tell();
  }

  /** Versions that the accepted state lists are the newest from now on, also when they were here before others. */
  renew(listed: readonly SealedName[]): void {
    for (const { id, version } of listed) {
      const values = this.#values.get(id);
      const kept = values?.find((one) => one.version === version);
      if (values === undefined || kept === undefined || values.at(-1) === kept) continue;
      this.#values.set(id, [...values.filter((one) => one !== kept), kept]);
      this.#o.database.run(
        'UPDATE sealed SET number = (SELECT MAX(number) + 1 FROM sealed) WHERE id = ? AND version = ?',
        id,
        version,
      );
    }
  }

  /** Removes every version that is not needed, is not listed, and is none of the two newest of an id that is needed or listed. */
  retain(needed: readonly SealedName[]): void {
    const keys = new Set(needed.map(keyOf));
    const ids = new Set(needed.map(({ id }) => id));
    for (const [id, values] of this.#values) {
      const kept = values.filter(
        ({ version }, index) =>
          keys.has(keyOf({ id, version })) || (ids.has(id) && index >= values.length - 2),
      );
      if (kept.length === values.length) continue;
      const gone = values.filter((value) => !kept.includes(value));
      for (const { version } of gone) {
        this.#o.database.run('DELETE FROM sealed WHERE id = ? AND version = ?', id, version);
      }
      if (kept.length === 0) this.#values.delete(id);
      else this.#values.set(id, kept);
    }
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }

  #put({ id, version }: SealedName, { value, fetchedAt }: Omit<KeptValue, 'version'>): void {
    const others = (this.#values.get(id) ?? []).filter((kept) => kept.version !== version);
    this.#values.set(id, [...others, { version, value, fetchedAt }]);
  }
}

/** The newest of all from now on. */
function insert(
  database: AgentDatabase,
  { id, version }: SealedName,
  { signed, fetchedAt }: { signed: string; fetchedAt: Date },
): void {
  database.run(
    `INSERT OR REPLACE INTO sealed (number, id, version, fetched, signed)
     VALUES ((SELECT COALESCE(MAX(number), 0) + 1 FROM sealed), ?, ?, ?, ?)`,
    id,
    version,
    fetchedAt.toISOString(),
    signed,
  );
}

function keyOf({ id, version }: SealedName): string {
  return `${id} ${version}`;
}
