import { canonicalJson, type DesiredState, type SignedStateHeader } from '@selvedge/api';
import { reportsDigest, stateDigest } from '@selvedge/api/node';
import type { DeliveryRow, FleetStore } from '@selvedge/store';
import type { HubIdentity } from '../identity/hub-identity.ts';
import { buildDesiredState, itemId } from './desired-state.ts';

/** What a contact needs to know of a site, without its items. */
export interface SiteSummary {
  readonly siteUid: string;
  readonly epoch: number;
  readonly stateDigest: string;
  readonly reportsDigest: string;
  /** Highest `seq` that is stored; 0 without reports. */
  readonly reportSeq: number;
}

/**
 * Desired state of sites, signed. Of each site only the summary and the signature are kept, per epoch: a contact that
 * finds nothing new reads nothing from the store.
 */
export class SignedStates {
  readonly #fleet: FleetStore;
  readonly #identity: Pick<HubIdentity, 'hubId' | 'fleetKey'>;
  readonly #entries = new Map<string, Entry>();
  readonly #unsubscribe: () => void;

  constructor(fleet: FleetStore, identity: Pick<HubIdentity, 'hubId' | 'fleetKey'>) {
    this.#fleet = fleet;
    this.#identity = identity;
    this.#unsubscribe = fleet.onChange((change) => {
      const entry = this.#entries.get(change.kind === 'site' ? change.site : change.row.site);
      if (entry !== undefined) entry.changes += 1;
    });
  }

  async summary(site: string, siteUid: string): Promise<SiteSummary> {
    const entry = this.#entries.get(site);
    const known = entry?.summary;
    if (known?.siteUid === siteUid && entry?.readAfter === entry?.changes) return known;
    return (await this.#load(site, siteUid)).summary;
  }

  /** As `summary`, but read now: another hub's change may be on its way to this one. */
  async freshSummary(site: string, siteUid: string): Promise<SiteSummary> {
    return (await this.#load(site, siteUid)).summary;
  }

  /** The whole present state with the JWS of its header. */
  async signedState(
    site: string,
    siteUid: string,
  ): Promise<{ state: DesiredState; summary: SiteSummary; signed: string }> {
    const { entry, state, summary } = await this.#load(site, siteUid);
    // Between the load and here the entry may have moved on; its signature counts only for this very state.
    if (entry.signed?.stateDigest !== summary.stateDigest) {
      entry.signed = { stateDigest: summary.stateDigest, jws: this.#sign(site, summary) };
    }
    return { state, summary, signed: await entry.signed.jws };
  }

  forget(site: string): void {
    this.#entries.delete(site);
  }

  close(): void {
    this.#unsubscribe();
  }

  async #load(site: string, siteUid: string): Promise<Loaded> {
    const entry: Entry = this.#entries.get(site) ?? { changes: 0, readAfter: 0 };
    this.#entries.set(site, entry);
    // Taken before reading: a change that comes while we read counts as not seen.
    const changesSeen = entry.changes;
    const rows = await this.#fleet.siteState(site);
    const state = buildDesiredState(this.#identity.hubId, siteUid, rows);
    const known = entry.summary;
    const same = known?.epoch === rows.epoch && known.siteUid === siteUid ? known : undefined;
    const summary: SiteSummary = {
      siteUid,
      epoch: rows.epoch,
      stateDigest: same?.stateDigest ?? stateDigest(state),
      ...summarizeReports(rows.rows),
    };
    if (changesSeen >= entry.readAfter) {
      entry.summary = summary;
      entry.readAfter = changesSeen;
    }
    return { entry, state, summary };
  }

  #sign(site: string, { siteUid, epoch, stateDigest }: SiteSummary): Promise<string> {
    const header: SignedStateHeader = { hubId: this.#identity.hubId, site, siteUid, epoch, stateDigest };
    return this.#identity.fleetKey.sign(canonicalJson(header));
  }
}

interface Entry {
  /** Counts what happened to the site. */
  changes: number;
  /** `changes` when the summary was read: fresh while equal. */
  readAfter: number;
  summary?: SiteSummary;
  signed?: { readonly stateDigest: string; readonly jws: Promise<string> };
}

interface Loaded {
  readonly entry: Entry;
  readonly state: DesiredState;
  readonly summary: SiteSummary;
}

function summarizeReports(rows: readonly DeliveryRow[]): { reportsDigest: string; reportSeq: number } {
  const reports = rows.flatMap((row) =>
    row.report === undefined ? [] : [{ id: itemId(row), uid: row.report.uid, seq: row.report.seq }],
  );
  return {
    reportsDigest: reportsDigest(reports),
    reportSeq: reports.reduce((highest, { seq }) => Math.max(highest, seq), 0),
  };
}
