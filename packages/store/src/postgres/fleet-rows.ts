import { StatusError, type ItemReport } from '@selvedge/api';
import type { AesGcmCipher } from '../aes-gcm-cipher.ts';
import type { DeliveryRow, SiteSettings } from '../fleet-store.ts';

export interface DeliveryRecord {
  readonly site: string;
  readonly namespace: string;
  readonly application: string;
  readonly application_uid: string;
  readonly phase: DeliveryRow['phase'];
  readonly release: string;
  readonly digest: string;
  readonly epoch: number;
  readonly assigned_at: string;
  readonly deadline_seconds: number;
  readonly terms: string;
  readonly removal: DeliveryRow['removal'];
  readonly rollout: string;
  readonly wave: string;
  readonly report: string | null;
  readonly report_logs: Uint8Array | null;
  readonly revision: number;
  readonly create_revision: number;
  readonly deleted: boolean;
}

export interface SiteRecord {
  readonly site: string;
  readonly epoch: number;
  readonly variables: Uint8Array;
  readonly policy: string;
}

export interface SiteFacts extends SiteSettings {
  readonly epoch: number;
}

type Report = NonNullable<DeliveryRow['report']>;

/** Begins all JSON of ours; sealed bytes begin with their format version. */
const isJson = (bytes: Uint8Array): boolean => bytes[0] === 0x7b || bytes[0] === 0x5b;

/** How fleet rows stand in their tables: what people wrote into variables and what programs wrote into logs is sealed. */
export class FleetRows {
  readonly #cipher: AesGcmCipher | undefined;

  constructor(cipher?: AesGcmCipher) {
    this.#cipher = cipher;
  }

  toDelivery(row: DeliveryRecord): DeliveryRow {
    return {
      site: row.site,
      namespace: row.namespace,
      application: row.application,
      applicationUid: row.application_uid,
      phase: row.phase,
      release: row.release,
      digest: row.digest,
      epoch: row.epoch,
      assignedAt: row.assigned_at,
      deadlineSeconds: row.deadline_seconds,
      terms: JSON.parse(row.terms) as DeliveryRow['terms'],
      removal: row.removal,
      rollout: row.rollout,
      wave: row.wave,
      ...(row.report === null ? {} : { report: this.#toReport(row, row.report) }),
      revision: row.revision,
      createRevision: row.create_revision,
      deleted: row.deleted,
    };
  }

  fromDelivery(row: DeliveryRow): DeliveryRecord {
    const { logs, ...report } = row.report ?? {};
    return {
      site: row.site,
      namespace: row.namespace,
      application: row.application,
      application_uid: row.applicationUid,
      phase: row.phase,
      release: row.release,
      digest: row.digest,
      epoch: row.epoch,
      assigned_at: row.assignedAt,
      deadline_seconds: row.deadlineSeconds,
      terms: JSON.stringify(row.terms),
      removal: row.removal,
      rollout: row.rollout,
      wave: row.wave,
      report: row.report === undefined ? null : JSON.stringify(report),
      report_logs:
        logs === undefined ? null : this.#seal(JSON.stringify(logs), reportPlace(row, row.applicationUid)),
      revision: row.revision,
      create_revision: row.createRevision,
      deleted: row.deleted,
    };
  }

  toSite(row: SiteRecord): SiteFacts {
    const variables = JSON.parse(this.#open(row.variables, variablesPlace(row.site)));
    return {
      epoch: row.epoch,
      variables: variables as SiteSettings['variables'],
      policy: JSON.parse(row.policy) as SiteSettings['policy'],
    };
  }

  fromSite(site: string, facts: SiteFacts): SiteRecord {
    const text = JSON.stringify(facts.variables);
    return {
      site,
      epoch: facts.epoch,
      variables: text === '{}' ? Buffer.from(text) : this.#seal(text, variablesPlace(site)),
      policy: JSON.stringify(facts.policy),
    };
  }

  /** Of variables or log lines. */
  isSealed(bytes: Uint8Array): boolean {
    return !isJson(bytes);
  }

  #toReport(row: DeliveryRecord, text: string): Report {
    const report = JSON.parse(text) as Report;
    if (row.report_logs === null) return report;
    const logs = JSON.parse(
      this.#open(row.report_logs, reportPlace(row, row.application_uid)),
    ) as ItemReport['logs'];
    return { ...report, ...(logs === undefined ? {} : { logs }) };
  }

  #seal(text: string, place: string): Uint8Array {
    return this.#cipher?.seal(text, place) ?? Buffer.from(text);
  }

  #open(bytes: Uint8Array, place: string): string {
    if (isJson(bytes)) return Buffer.from(bytes).toString('utf8');
    if (this.#cipher === undefined) {
      throw new StatusError('InternalError', 'rows of the store are sealed: open it with its key');
    }
    return this.#cipher.open(bytes, place).toString('utf8');
  }
}

export const variablesPlace = (site: string): string => JSON.stringify(['variables', site]);

export const reportPlace = (
  row: { site: string; namespace: string; application: string },
  applicationUid: string,
): string => JSON.stringify(['report logs', row.site, row.namespace, row.application, applicationUid]);
