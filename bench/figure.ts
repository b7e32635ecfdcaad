/** One thing that a bench program measured, and what it has to be. */
export interface Figure {
  name: string;
  value: number;
  unit: 's' | 'ms' | 'MB' | 'MiB' | 'KB' | 'req/s' | '%';
  /** The value may not be above it. */
  mark: number;
  met: boolean;
}

export function figure(name: string, value: number, limit: { unit: Figure['unit']; mark: number }): Figure {
  return { name, value: Math.round(value * 100) / 100, ...limit, met: value <= limit.mark };
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  const [low = Number.NaN, high = Number.NaN] = [sorted[Math.ceil(middle) - 1], sorted[Math.floor(middle)]];
  return (low + high) / 2;
}
