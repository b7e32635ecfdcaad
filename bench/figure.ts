/** One thing that a bench program measured, and what it has to be. */
export interface Figure {
  name: string;
  value: number;
  unit: 's' | 'ms' | 'MB' | 'MB/s' | 'MiB' | 'KB' | 'req/s' | '/s' | '%' | '×';
  /** Absent: it is told, and held against nothing. */
  mark?: Mark;
  met: boolean;
}

export type Mark = { readonly atMost: number } | { readonly atLeast: number };

export function figure(name: string, value: number, { unit, mark }: Pick<Figure, 'unit' | 'mark'>): Figure {
  const rounded = Math.round(value * 100) / 100;
  return { name, value: rounded, unit, ...(mark === undefined ? {} : { mark }), met: isMet(value, mark) };
}

function isMet(value: number, mark: Mark | undefined): boolean {
  if (mark === undefined) return true;
  return 'atMost' in mark ? value <= mark.atMost : value >= mark.atLeast;
}

export function renderFigure({ name, value, unit, mark, met }: Figure): string {
  const verdict = mark === undefined ? '      ' : met ? 'met   ' : 'MISSED';
  const limit =
    mark === undefined ? '' : 'atMost' in mark ? `   at most ${mark.atMost}` : `   at least ${mark.atLeast}`;
  return `${verdict}  ${name.padEnd(64)} ${`${value} ${unit}`.padStart(12)}${limit}`;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  const [low = Number.NaN, high = Number.NaN] = [sorted[Math.ceil(middle) - 1], sorted[Math.floor(middle)]];
  return (low + high) / 2;
}
