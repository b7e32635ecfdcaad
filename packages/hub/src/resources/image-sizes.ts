import type { DeliveryRow } from '@selvedge/store';

/**
 * Sizes on disk of images, in bytes, by name, as sites last reported them. Where they differ (architectures, or a tag that moved),
 * the newest word counts.
 */
export function knownImageSizes(rows: readonly DeliveryRow[]): Map<string, number> {
  const sizes = new Map<string, { bytes: number; receivedAt: string }>();
  for (const { report } of rows) {
    for (const { name, sizeBytes } of report?.images ?? []) {
      const known = sizes.get(name);
      if (report === undefined || (known !== undefined && known.receivedAt >= report.receivedAt)) continue;
      sizes.set(name, { bytes: sizeBytes, receivedAt: report.receivedAt });
    }
  }
  return new Map([...sizes].map(([name, { bytes }]) => [name, bytes]));
}
