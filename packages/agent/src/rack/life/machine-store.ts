import type { Logger, MachineInventory } from '@selvedge/api';
import type { AgentDatabase } from '../../state/agent-database.ts';
import type { MachineRecord } from './machine-record.ts';

/** What the hub was last told of a machine. */
export interface ToldReport {
  readonly seq: number;
  readonly isTold: boolean;
  /** Digest of what it said, without times of observation. */
  readonly said: string;
}

/** Machines in the agent's database. Throws what the database throws on a full disk, with nothing changed. */
export class MachineStore {
  readonly #database: AgentDatabase;

  constructor(database: AgentDatabase) {
    this.#database = database;
  }

  /** What cannot be read is left out and logged: its box is found anew. */
  loadAll(logger: Logger): MachineRecord[] {
    return this.#database.all('SELECT key, body FROM machines').flatMap((row) => {
      try {
        return [JSON.parse(row['body'] as string) as MachineRecord];
      } catch (error) {
        logger.error('the record of a machine is damaged and is not used', { machine: row['key'], error });
        return [];
      }
    });
  }

  put(record: MachineRecord): void {
    this.#database.run(
      'INSERT OR REPLACE INTO machines (key, body) VALUES (?, ?)',
      record.key,
      JSON.stringify(record),
    );
  }

  /** The box is known by another key from now on. */
  rename(from: string, record: MachineRecord): void {
    this.#database.transaction(() => {
      this.remove(from, { keepInventory: true });
      this.put(record);
      this.#database.run(
        'UPDATE OR REPLACE machine_inventories SET key = ?, told = 0 WHERE key = ?',
        record.key,
        from,
      );
    });
  }

  remove(key: string, options: { keepInventory?: boolean } = {}): void {
    this.#database.transaction(() => {
      this.#database.run('DELETE FROM machines WHERE key = ?', key);
      this.#database.run('DELETE FROM machine_reports WHERE key = ?', key);
      if (options.keepInventory === true) return;
      this.#database.run('DELETE FROM machine_inventories WHERE key = ?', key);
    });
  }

  transaction<T>(work: () => T): T {
    return this.#database.transaction(work);
  }

  putInventory(key: string, digest: string, inventory: MachineInventory): void {
    if (this.#database.find('SELECT 1 FROM machine_inventories WHERE key = ? AND digest = ?', key, digest)) {
      return;
    }
    this.#database.run(
      'INSERT OR REPLACE INTO machine_inventories (key, digest, told, body) VALUES (?, ?, 0, ?)',
      key,
      digest,
      JSON.stringify(inventory),
    );
  }

  /** That the hub does not have yet. */
  untoldInventory(key: string): { digest: string; inventory: MachineInventory } | undefined {
    const row = this.#database.find(
      'SELECT digest, body FROM machine_inventories WHERE key = ? AND told = 0',
      key,
    );
    if (row === undefined) return undefined;
    return {
      digest: String(row['digest']),
      inventory: JSON.parse(String(row['body'])) as MachineInventory,
    };
  }

  markInventoryTold(key: string, digest: string): void {
    this.#database.run('UPDATE machine_inventories SET told = 1 WHERE key = ? AND digest = ?', key, digest);
  }

  doubtInventories(): void {
    this.#database.run('UPDATE machine_inventories SET told = 0');
  }

  loadReports(): Map<string, ToldReport> {
    const rows = this.#database.all('SELECT key, seq, told, said FROM machine_reports');
    return new Map(
      rows.map((row) => [
        String(row['key']),
        { seq: Number(row['seq']), isTold: row['told'] === 1, said: String(row['said']) },
      ]),
    );
  }

  putReport(key: string, { seq, isTold, said }: ToldReport): void {
    this.#database.run(
      'INSERT OR REPLACE INTO machine_reports (key, seq, told, said) VALUES (?, ?, ?, ?)',
      key,
      seq,
      isTold ? 1 : 0,
      said,
    );
  }
}
