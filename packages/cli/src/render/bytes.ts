const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

/** `0 B`, `812 B`, `3.4 KiB`, `28 MiB`: two digits that matter, or all before the point. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || value >= 10 ? 0 : 1;
  return `${value.toFixed(digits)} ${units[unit] ?? 'B'}`;
}
