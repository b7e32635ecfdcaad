import type { UnnumberedReport } from '../state/report-book.ts';
import { keyOf } from './merge-state.ts';

/** Bytes that were fetched are news only now and then. */
const progressMs = 5000;

/** Keeps the hub from being told of every step of a download. */
export class ReportFilter {
  readonly #toldAtMs = new Map<string, number>();

  isWorthSaying(report: UnnumberedReport, last: UnnumberedReport | undefined, nowMs: number): boolean {
    const key = keyOf(report);
    const isStep =
      last !== undefined &&
      last.epoch === report.epoch &&
      last.digest === report.digest &&
      last.state === report.state &&
      last.reason === report.reason &&
      last.progress !== undefined &&
      report.progress !== undefined &&
      report.progress.done < report.progress.total;
    if (isStep && nowMs - (this.#toldAtMs.get(key) ?? -progressMs) < progressMs) return false;
    if (report.progress !== undefined) this.#toldAtMs.set(key, nowMs);
    return true;
  }
}
