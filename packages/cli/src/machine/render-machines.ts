import type { Paint, Tone } from '../program/terminal.ts';
import { type Cell, renderTable, widthOf } from '../render/table.ts';
import { isErrorStatus, type MachineRow } from './read-machine-rows.ts';

interface Column {
  readonly title: string;
  readonly cell: (row: MachineRow) => Cell;
  /** On a narrow screen the highest go first; absent: it stays. */
  readonly spare?: number;
}

const columns: readonly Column[] = [
  { title: 'NAME', cell: ({ name }) => name },
  { title: 'SITE', cell: ({ site }) => site, spare: 1 },
  { title: 'PHASE', cell: (row) => ({ text: row.phase || 'Unknown', tone: toneOf(row) }) },
  { title: 'SINCE', cell: ({ since }) => since || '-' },
  { title: 'STATUS', cell: (row) => ({ text: row.status || 'Unknown', tone: toneOf(row) }) },
  { title: 'POWER', cell: ({ power }) => power || 'Unknown', spare: 3 },
  { title: 'IMAGE', cell: ({ image }) => image || '-', spare: 2 },
  { title: 'TAKEN BY', cell: ({ consumer }) => consumer.replace(/^MachineClaim\//, '') || '-', spare: 4 },
  { title: 'CORES', cell: ({ cores }) => (cores === '' ? '-' : Number(cores)), spare: 5 },
  { title: 'MEMORY', cell: ({ memory }) => bytesText(memory), spare: 6 },
  { title: 'DISKS', cell: ({ disks }) => bytesText(disks), spare: 7 },
];

/** Room that the note needs to say anything; as much of it as there is stays on the line. */
const leastNote = 24;
const gap = 3;

/**
 * A line for each machine. `screen`: how wide the terminal is; then columns that can be spared go, and notes are cut, so that each machine has one line.
 * Without it all is shown.
 */
export function renderMachines(rows: readonly MachineRow[], paint: Paint, screen?: number): string {
  let shown = columns;
  let room = Number.POSITIVE_INFINITY;
  if (screen !== undefined) {
    const widths = new Map(columns.map((column) => [column, columnWidth(column, rows)]));
    const note = columnWidth({ title: 'NOTE', cell: (row) => row.note }, rows);
    const needed = Math.min(leastNote, note);
    const taken = () => shown.reduce((total, column) => total + (widths.get(column) ?? 0) + gap, 0);
    for (let spare = columns.length; spare > 0 && screen - taken() < needed; spare--) {
      shown = shown.filter((column) => column.spare !== spare);
    }
    room = Math.max(needed, screen - taken());
  }
  return renderTable(
    [...shown.map(({ title }) => title), 'NOTE'],
    rows.map((row) => [...shown.map(({ cell }) => cell(row)), cutTo(room, row.note)]),
    paint,
  );
}

function columnWidth({ title, cell }: Column, rows: readonly MachineRow[]): number {
  return rows.reduce((most, row) => Math.max(most, widthOf(cell(row))), title.length);
}

function cutTo(room: number, text: string): string {
  return text.length > room ? `${text.slice(0, room - 1)}…` : text;
}

/** `128Gi` of the hub is `128 GiB` here, as everywhere in this program. */
function bytesText(quantity: string): string {
  return quantity.replace(/([MGT]i)$/, ' $1B') || '-';
}

function toneOf({ phase, status }: MachineRow): Tone {
  if (isErrorStatus(status) || phase === 'Broken') return 'bad';
  if (status === '') return 'faint';
  return status === 'OK' ? 'good' : 'caution';
}
