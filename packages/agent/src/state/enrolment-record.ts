import type { AgentDatabase } from './agent-database.ts';

/** What the agent knows of its hub and of itself since it was let in. */
export interface Enrolment {
  readonly hubs: readonly string[];
  readonly hubId: string;
  /** Raw Ed25519, base64url: signs everything that this site obeys. */
  readonly fleetKey: string;
  /** PEM. */
  readonly caCertificate: string;
  readonly site: string;
  readonly siteUid: string;
  /** Uids of the site before it was deleted and made again. */
  readonly formerSiteUids: readonly string[];
  /** File in STATE/keys: a site that is enrolled again gets a new key in a new file. */
  readonly keyFile: string;
  /** SHA-256 of the token that was used, so that the same one in a unit file is not tried again. */
  readonly tokenDigest: string;
  /** The hub's answer when it refused the agent's key; absent while the key is good. */
  readonly keyRefusal?: string;
}

export function findEnrolment(database: AgentDatabase): Enrolment | undefined {
  const text = findMeta(database, 'enrolment');
  return text === undefined ? undefined : (JSON.parse(text) as Enrolment);
}

export function saveEnrolment(database: AgentDatabase, enrolment: Enrolment): void {
  putMeta(database, 'enrolment', JSON.stringify(enrolment));
}

/** Single values of the database. */
export function findMeta(database: AgentDatabase, key: string): string | undefined {
  return database.find('SELECT value FROM meta WHERE key = ?', key)?.['value'] as string | undefined;
}

export function putMeta(database: AgentDatabase, key: string, value: string): void {
  database.run('INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)', key, value);
}
