import { canonicalJson, type MirrorOrder, type MirrorReport } from '@selvedge/api';
import { mirrorOrderDigest } from '@selvedge/api/node';
import type { HubClock } from '../hub-connection/hub-clock.ts';
import type { MirrorReader } from './mirror-reader.ts';

/** In one request; the rest comes with the next. */
const mostReports = 200;
const askAgainMs = 43_200_000;

/**
 * What the hub is to hear of the mirrors of this site: what it has not been told, or may not have any more. A mirror that is ordered from a
 * site without a cluster is answered too.
 */
export class MirrorNews {
  readonly #reader: MirrorReader | undefined;
  readonly #clock: HubClock;
  /** By uid, what the hub was told. */
  readonly #told = new Map<string, string>();
  #orders: readonly MirrorOrder[] = [];
  #withoutCluster: readonly MirrorReport[] = [];
  /** By the monotonic clock. */
  #askAtMs = Number.POSITIVE_INFINITY;

  constructor(options: { reader: MirrorReader | undefined; clock: HubClock; onNews: () => void }) {
    this.#reader = options.reader;
    this.#clock = options.clock;
    options.reader?.onChange(options.onNews);
  }

  setOrders(orders: readonly MirrorOrder[]): void {
    this.#orders = orders;
    const wanted = new Set(orders.map(({ uid }) => uid));
    for (const uid of this.#told.keys()) if (!wanted.has(uid)) this.#told.delete(uid);
    if (this.#reader !== undefined) {
      this.#reader.setOrders(orders);
      return;
    }
    const observedTime = this.#clock.machineNow().toISOString();
    this.#withoutCluster = orders.map((order) => ({
      uid: order.uid,
      order: mirrorOrderDigest(order),
      digest: '',
      objects: 0,
      message: noCluster,
      observedTime,
    }));
  }

  hasNews(): boolean {
    return this.#untold().length > 0;
  }

  /** What is to be sent now; undefined: nothing. */
  take(): MirrorReport[] | undefined {
    const reports = this.#untold().slice(0, mostReports);
    if (reports.length === 0) return undefined;
    return reports.map((report) => ({ ...report, observedTime: this.#clock.correct(report.observedTime) }));
  }

  /** The hub has answered the request that carried these. */
  answered(reports: readonly MirrorReport[]): void {
    for (const report of reports) this.#told.set(report.uid, textOf(report));
    this.#askAtMs = this.#clock.monotonicNow() + askAgainMs * (0.9 + Math.random() / 5);
  }

  /** Another hub answers, or one with another memory; or it does not take what it was told of. */
  doubt(uid?: string): void {
    if (uid === undefined) this.#told.clear();
    else this.#told.delete(uid);
  }

  /** What the hub wants of a mirror, and may have now. */
  findContent(uid: string): Uint8Array | undefined {
    const digest = this.#reader?.reports().find((report) => report.uid === uid)?.digest;
    return digest === undefined ? undefined : this.#reader?.content(uid, digest);
  }

  #untold(): MirrorReport[] {
    if (this.#orders.length === 0) return [];
    if (this.#clock.monotonicNow() >= this.#askAtMs) this.doubt();
    const reports = this.#reader?.reports() ?? this.#withoutCluster;
    return reports.filter((report) => this.#told.get(report.uid) !== textOf(report));
  }
}

const noCluster = 'this site has no Kubernetes cluster to read: only such a site can be mirrored';

/** All but when it was seen. */
function textOf(report: MirrorReport): string {
  const { observedTime: _, ...said } = report;
  return canonicalJson(said);
}
