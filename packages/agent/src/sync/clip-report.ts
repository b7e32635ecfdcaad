import type { UnnumberedReport } from '../state/report-book.ts';

/** The hub refuses longer ones (sync-protocol.ts), and with them everything else that the request brings. */
export function clipReport(report: UnnumberedReport): UnnumberedReport {
  const { reason, message, logs, drift, images } = report;
  return {
    ...report,
    ...(reason === undefined ? {} : { reason: reason.slice(0, 200) }),
    ...(message === undefined ? {} : { message: message.slice(0, 8000) }),
    ...(logs === undefined ? {} : { logs: logs.slice(-20).map((line) => line.slice(0, 500)) }),
    ...(drift === undefined ? {} : { drift: drift.slice(0, 20).map((line) => line.slice(0, 500)) }),
    ...(images === undefined ? {} : { images: images.slice(0, 50) }),
  };
}
