import type { AesGcmCipher } from '../aes-gcm-cipher.ts';
import { noSettings } from '../fleet-rules.ts';
import type { SiteKey, SiteSettings } from '../fleet-store.ts';
import type { Db } from './db.ts';
import { type MaybeSealed, openText, sealText } from './sealed-text.ts';

export interface SiteRow {
  readonly site: string;
  readonly epoch: number;
  readonly variables: MaybeSealed;
  readonly policy: string;
}

export interface SiteFacts extends SiteSettings {
  readonly epoch: number;
}

/** Of a site that was never heard of. */
export const unknownSite: SiteFacts = { epoch: 0, ...noSettings };

const none = '{}';

/** The SQL of what is kept per site: epoch, variables (sealed, they may hold secrets), policy, key. */
export class SiteTable {
  readonly #db: Db;
  readonly #cipher: AesGcmCipher | undefined;

  constructor(db: Db, cipher?: AesGcmCipher) {
    this.#db = db;
    this.#cipher = cipher;
  }

  find(site: string): SiteFacts | undefined {
    const row = this.#db.get<SiteRow>('SELECT * FROM site_state WHERE site = ?', [site]);
    return row && toSiteFacts(row, this.#cipher);
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
  setSettings(site: string, { variables, policy }: SiteSettings): void {
    const text = JSON.stringify(variables);
    const value = text === none ? none : sealText(this.#cipher, text, placeOfVariables(site));
    this.#db.run('UPDATE site_state SET variables = ?, policy = ? WHERE site = ?', [
      value,
      JSON.stringify(policy),
      site,
    ]);
  }

  setEpoch(site: string, epoch: number): void {
    this.#db.run(
      `INSERT INTO site_state (site, epoch, variables) VALUES (?, ?, '{}')
       ON CONFLICT (site) DO UPDATE SET epoch = excluded.epoch`,
      [site, epoch],
    );
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

export function toSiteFacts(row: SiteRow, cipher: AesGcmCipher | undefined): SiteFacts {
  const text = openText(cipher, row.variables, placeOfVariables(row.site));
  return {
    epoch: row.epoch,
    variables: JSON.parse(text) as SiteFacts['variables'],
    policy: JSON.parse(row.policy) as SiteFacts['policy'],
  };
}

export const placeOfVariables = (site: string): string => JSON.stringify(['variables', site]);
