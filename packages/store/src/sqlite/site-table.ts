import type { SiteKey, SiteState } from '../fleet-store.ts';
import type { Db } from './db.ts';

type Variables = SiteState['variables'];

/** The SQL of what is kept per site: epoch, variables, key. */
export class SiteTable {
  readonly #db: Db;

  constructor(db: Db) {
    this.#db = db;
  }

  find(site: string): { epoch: number; variables: Variables } | undefined {
    const row = this.#db.get<{ epoch: number; variables: string }>(
      'SELECT epoch, variables FROM site_state WHERE site = ?',
      [site],
    );
    return row && { epoch: row.epoch, variables: JSON.parse(row.variables) as Variables };
  }

  epochs(): Map<string, number> {
    const rows = this.#db.all<{ site: string; epoch: number }>('SELECT site, epoch FROM site_state');
    return new Map(rows.map((row) => [row.site, row.epoch]));
  }

  /** Returns the new epoch; the first is 1. */
  raiseEpoch(site: string): number {
    const row = this.#db.get<{ epoch: number }>(
      `INSERT INTO site_state (site, epoch, variables) VALUES (?, 1, '{}')
       ON CONFLICT (site) DO UPDATE SET epoch = epoch + 1 RETURNING epoch`,
      [site],
    );
    return row?.epoch ?? 1;
  }

  /** Of a site that has an epoch. */
  setVariables(site: string, variables: Variables): void {
    this.#db.run('UPDATE site_state SET variables = ? WHERE site = ?', [JSON.stringify(variables), site]);
  }

  findKey(site: string): SiteKey | undefined {
    const row = this.#db.get<SiteKey>(
      `SELECT site, site_uid AS siteUid, public_key AS publicKey, fingerprint, token_uid AS tokenUid,
         enrolled_at AS enrolledAt
       FROM site_key WHERE site = ?`,
      [site],
    );
    return row && { ...row }; // the engine's rows have no prototype
  }

  setKey(key: SiteKey): void {
    this.#db.run(
      `INSERT OR REPLACE INTO site_key (site, site_uid, public_key, fingerprint, token_uid, enrolled_at)
       VALUES (?, ?, ?, ?, ?, ?)`,
      [key.site, key.siteUid, key.publicKey, key.fingerprint, key.tokenUid, key.enrolledAt],
    );
  }

  removeKey(site: string): void {
    this.#db.run('DELETE FROM site_key WHERE site = ?', [site]);
  }
}
