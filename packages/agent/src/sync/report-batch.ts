import type { ItemReport } from '@selvedge/api';

/** Oldest first, as many as the hub takes in one request (1 MiB with the rest of it); at least one. */
export function takeBatch(reports: readonly ItemReport[], longestBytes = 900_000): ItemReport[] {
  const batch: ItemReport[] = [];
  let bytes = 0;
  for (const report of reports.toSorted((a, b) => a.seq - b.seq)) {
    bytes += Buffer.byteLength(JSON.stringify(report)) + 1;
    if (batch.length > 0 && bytes > longestBytes) break;
    batch.push(report);
  }
  return batch;
}
