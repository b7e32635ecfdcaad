const contextLines = 3;

/**
 * How much may still be spent on finding minimal differences: comparisons of lines, shared by all texts of one plan. Where it
 * runs out, all of the old is shown removed and all of the new added.
 */
export interface DiffBudget {
  comparisons: number;
}

interface Edit {
  readonly kind: ' ' | '-' | '+';
  readonly line: string;
}

/** Unified difference of two texts, line by line, without file names; '' when they are equal. */
export function unifiedDiff(before: string, after: string, budget: DiffBudget): string {
  const edits = diffLines(linesOf(before), linesOf(after), budget);
  const isNear = nearChange(edits);
  const out: string[] = [];
  let [oldLine, newLine] = [1, 1];
  for (let first = 0; first < edits.length; ) {
    let last = first;
    while (last < edits.length && isNear[last] === isNear[first]) last += 1;
    const part = edits.slice(first, last);
    const oldCount = part.filter(({ kind }) => kind !== '+').length;
    const newCount = part.filter(({ kind }) => kind !== '-').length;
    if (isNear[first]) {
      out.push(`@@ -${range(oldLine, oldCount)} +${range(newLine, newCount)} @@`);
      for (const { kind, line } of part) out.push(`${kind}${line}`);
    }
    oldLine += oldCount;
    newLine += newCount;
    first = last;
  }
  return out.join('\n');
}

/** A range of no lines names the line before it (GNU diffutils, "Detailed Unified"). */
function range(line: number, count: number): string {
  const start = count === 0 ? line - 1 : line;
  return count === 1 ? String(start) : `${start},${count}`;
}

function linesOf(text: string): string[] {
  if (text === '') return [];
  return (text.endsWith('\n') ? text.slice(0, -1) : text).split('\n');
}

function nearChange(edits: readonly Edit[]): boolean[] {
  const near = edits.map(() => false);
  for (const [index, { kind }] of edits.entries()) {
    if (kind === ' ') continue;
    const end = Math.min(edits.length - 1, index + contextLines);
    for (let i = Math.max(0, index - contextLines); i <= end; i++) near[i] = true;
  }
  return near;
}

function diffLines(before: readonly string[], after: readonly string[], budget: DiffBudget): Edit[] {
  let start = 0;
  while (start < before.length && start < after.length && before[start] === after[start]) start += 1;
  let end = 0;
  const shorter = Math.min(before.length, after.length) - start;
  while (end < shorter && before[before.length - 1 - end] === after[after.length - 1 - end]) end += 1;
  const same = (line: string): Edit => ({ kind: ' ', line });
  const [old, wanted] = [before.slice(start, before.length - end), after.slice(start, after.length - end)];
  return [
    ...before.slice(0, start).map(same),
    ...(shortestEdits(old, wanted, budget) ?? allReplaced(old, wanted)),
    ...before.slice(before.length - end).map(same),
  ];
}

function allReplaced(before: readonly string[], after: readonly string[]): Edit[] {
  return [
    ...before.map((line): Edit => ({ kind: '-', line })),
    ...after.map((line): Edit => ({ kind: '+', line })),
  ];
}

/**
 * For each round d of the search, how far the diagonals -d, -d+2, … d reached: x, at index (k + d) / 2. Each round is no longer
 * than what it cost, so the budget bounds the memory too.
 */
type Trace = Int32Array[];

/**
 * E. W. Myers, "An O(ND) Difference Algorithm and Its Variations" (1986): the greedy one, with the trace kept. `undefined`:
 * the budget ran out.
 */
function shortestEdits(
  before: readonly string[],
  after: readonly string[],
  budget: DiffBudget,
): Edit[] | undefined {
  const [old, wanted] = numbered(before, after);
  const trace: Trace = [];
  for (let d = 0; d <= old.length + wanted.length; d++) {
    const reached = new Int32Array(d + 1);
    for (let k = -d; k <= d; k += 2) {
      if (budget.comparisons <= 0) return undefined;
      const from = previousDiagonal(trace, k, d);
      const start = d === 0 ? 0 : reachedBy(trace, from, d - 1) + (from < k ? 1 : 0);
      let x = start;
      while (x < old.length && x - k < wanted.length && old[x] === wanted[x - k]) x += 1;
      budget.comparisons -= x - start + 1;
      reached[(k + d) / 2] = x;
      if (x >= old.length && x - k >= wanted.length) {
        trace.push(reached);
        return walkBack(trace, before, after);
      }
    }
    trace.push(reached);
  }
  return undefined;
}

/** Equal lines as equal numbers: long lines are compared once. */
function numbered(before: readonly string[], after: readonly string[]): [Int32Array, Int32Array] {
  const numbers = new Map<string, number>();
  const numberOf = (line: string): number => {
    const known = numbers.get(line) ?? numbers.size;
    numbers.set(line, known);
    return known;
  };
  return [Int32Array.from(before, numberOf), Int32Array.from(after, numberOf)];
}

function reachedBy(trace: Trace, k: number, d: number): number {
  return trace[d]?.[(k + d) / 2] ?? -1;
}

/** The diagonal of the round before from which `k` is reached: k + 1 by a line that is added, k - 1 by one removed. */
function previousDiagonal(trace: Trace, k: number, d: number): number {
  const isAdded = k === -d || (k !== d && reachedBy(trace, k - 1, d - 1) < reachedBy(trace, k + 1, d - 1));
  return isAdded ? k + 1 : k - 1;
}

function walkBack(trace: Trace, before: readonly string[], after: readonly string[]): Edit[] {
  const edits: Edit[] = [];
  let [x, y] = [before.length, after.length];
  for (let d = trace.length - 1; d >= 0; d--) {
    const from = previousDiagonal(trace, x - y, d);
    const previousX = d === 0 ? 0 : reachedBy(trace, from, d - 1);
    const previousY = d === 0 ? 0 : previousX - from;
    while (x > previousX && y > previousY) {
      edits.push({ kind: ' ', line: before[x - 1] ?? '' });
      x -= 1;
      y -= 1;
    }
    if (d === 0) break;
    if (x === previousX) edits.push({ kind: '+', line: after[y - 1] ?? '' });
    else edits.push({ kind: '-', line: before[x - 1] ?? '' });
    [x, y] = [previousX, previousY];
  }
  return edits.reverse();
}
