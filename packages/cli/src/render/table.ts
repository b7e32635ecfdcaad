import { printable } from '@selvedge/api';
import { type Paint, plainPaint, type Tone } from '../program/terminal.ts';

/** A cell: text, or text with a tone. */
export type Cell = string | number | { readonly text: string; readonly tone: Tone };

/**
 * Columns as wide as their widest cell, three spaces apart, no rules, like kubectl's; numbers stand at the right.
 * Line breaks within a cell become spaces.
 */
export function renderTable(
  header: readonly string[],
  rows: readonly (readonly Cell[])[],
  paint: Paint = plainPaint,
): string {
  const texts = rows.map((row) => row.map(textOf));
  const widths = header.map((title, i) => Math.max(width(title), ...texts.map((row) => width(row[i] ?? ''))));
  const isNumeric = header.map((_, i) => rows.length > 0 && rows.every((row) => typeof row[i] === 'number'));
  const line = (cells: readonly string[], painted: readonly string[]) =>
    cells
      .map((text, i) => {
        const padding = ' '.repeat((widths[i] ?? 0) - width(text));
        return isNumeric[i] ? padding + (painted[i] ?? '') : (painted[i] ?? '') + padding;
      })
      .join('   ')
      .trimEnd();
  return [
    line(
      header,
      header.map((title) => paint('strong', title)),
    ),
    ...rows.map((row, r) =>
      line(
        texts[r] ?? [],
        row.map((cell, i) => {
          const text = texts[r]?.[i] ?? '';
          return typeof cell === 'object' ? paint(cell.tone, text) : text;
        }),
      ),
    ),
  ].join('\n');
}

function textOf(cell: Cell): string {
  return printable(typeof cell === 'object' ? cell.text : String(cell));
}

/** Characters that a cell takes on the screen. */
export function widthOf(cell: Cell): number {
  return width(textOf(cell));
}

const graphemes = new Intl.Segmenter();

function width(text: string): number {
  let characters = 0;
  for (const _ of graphemes.segment(text)) characters += 1;
  return characters;
}
