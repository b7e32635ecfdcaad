/** Beyond so many differing lines nobody reads a minimal difference: all of the old is shown removed, all of the new added. */
const maxEdits = 1_000;
const contextLines = 3;

interface Edit {
  readonly kind: ' ' | '-' | '+';
  readonly line: string;
}

/** Unified difference of two texts, line by line, without file names; '' when they are equal. */
export function unifiedDiff(before: string, after: string): string {
  const edits = diffLines(linesOf(before), linesOf(after));
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
      out.push(...part.map(({ kind, line }) => `${kind}${line}`));
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

function diffLines(before: readonly string[], after: readonly string[]): Edit[] {
  let start = 0;
  while (start < before.length && start < after.length && before[start] === after[start]) start += 1;
  let end = 0;
  const shorter = Math.min(before.length, after.length) - start;
  while (end < shorter && before[before.length - 1 - end] === after[after.length - 1 - end]) end += 1;
  const same = (line: string): Edit => ({ kind: ' ', line });
  return [
    ...before.slice(0, start).map(same),
    ...shortestEdits(before.slice(start, before.length - end), after.slice(start, after.length - end)),
    ...before.slice(before.length - end).map(same),
  ];
}

/** E. W. Myers, "An O(ND) Difference Algorithm and Its Variations" (1986): the greedy one, with the trace kept. */
function shortestEdits(before: readonly string[], after: readonly string[]): Edit[] {
  const trace: Map<number, number>[] = [];
  let reached = new Map<number, number>([[1, 0]]);
  const most = Math.min(before.length + after.length, maxEdits);
  for (let d = 0; d <= most; d++) {
    trace.push(reached);
    const next = new Map(reached);
    for (let k = -d; k <= d; k += 2) {
      let x = stepsDown(reached, k, d) ? (reached.get(k + 1) ?? 0) : (reached.get(k - 1) ?? 0) + 1;
      let y = x - k;
      while (x < before.length && y < after.length && before[x] === after[y]) {
        x += 1;
        y += 1;
      }
      next.set(k, x);
      if (x >= before.length && y >= after.length) return walkBack(trace, before, after);
    }
    reached = next;
  }
  return [
    ...before.map((line): Edit => ({ kind: '-', line })),
    ...after.map((line): Edit => ({ kind: '+', line })),
  ];
}

function stepsDown(reached: ReadonlyMap<number, number>, k: number, d: number): boolean {
  return k === -d || (k !== d && (reached.get(k - 1) ?? -1) < (reached.get(k + 1) ?? -1));
}

function walkBack(
  trace: readonly ReadonlyMap<number, number>[],
  before: readonly string[],
  after: readonly string[],
): Edit[] {
  const edits: Edit[] = [];
  let [x, y] = [before.length, after.length];
  for (let d = trace.length - 1; d >= 0; d--) {
    const reached = trace[d] ?? new Map<number, number>();
    const k = x - y;
    const previousK = stepsDown(reached, k, d) ? k + 1 : k - 1;
    const previousX = reached.get(previousK) ?? 0;
    const previousY = previousX - previousK;
    while (x > previousX && y > previousY && x > 0 && y > 0) {
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
