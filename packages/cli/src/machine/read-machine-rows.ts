import { isExpired, machineErrorReasons, machines } from '@selvedge/api';
import { type HttpClient, resourcePath } from '@selvedge/kube';

const columns = {
  name: 'Name',
  site: 'Site',
  phase: 'Phase',
  since: 'Since',
  status: 'Status',
  power: 'Power',
  image: 'Image',
  consumer: 'Consumer',
  cores: 'Cores',
  memory: 'Memory',
  disks: 'Disks',
  note: 'Note',
} as const;

/**
 * A machine as the columns of its kind tell it; empty: not known. `phase` is `Discovered` for one that was found and is not accepted yet; `status` is OK,
 * what it does or waits for, or the reason of its error.
 */
export type MachineRow = Readonly<Record<keyof typeof columns, string>>;

export interface MachineChoice {
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
}

const rowsPerPage = '500';
/** Without the objects: inventories are large, and nothing here reads them. */
const asTable = 'application/json;as=Table;v=v1;g=meta.k8s.io';

interface Table {
  readonly metadata?: { readonly continue?: string };
  readonly columnDefinitions: readonly { readonly name: string }[];
  readonly rows: readonly { readonly cells: readonly unknown[] }[];
}

/** All machines that are chosen, page by page. Throws StatusError. */
export async function readMachineRows(client: HttpClient, choice: MachineChoice = {}): Promise<MachineRow[]> {
  const read = (page: { limit?: string; continue?: string | undefined }) =>
    client.request<Table>({
      method: 'GET',
      path: resourcePath(machines),
      query: { ...choice, ...page, includeObject: 'None' },
      accept: asTable,
    });
  const rows: MachineRow[] = [];
  let next: string | undefined;
  try {
    do {
      const table = await read({ limit: rowsPerPage, continue: next });
      for (const row of rowsOf(table)) rows.push(row);
      next = table.metadata?.continue;
    } while (next !== undefined && next !== '');
  } catch (error) {
    if (!isExpired(error)) throw error;
    // The revision of the first page is gone: all in one.
    return rowsOf(await read({}));
  }
  return rows;
}

function rowsOf({ columnDefinitions, rows }: Table): MachineRow[] {
  const places = Object.entries(columns).map(
    ([key, title]) => [key, columnDefinitions.findIndex(({ name }) => name === title)] as const,
  );
  return rows.map(
    ({ cells }) => Object.fromEntries(places.map(([key, at]) => [key, textOf(cells[at])])) as MachineRow,
  );
}

/** As the server writes a cell that has no value. */
const nothing = new Set(['<none>', '<unknown>']);

function textOf(cell: unknown): string {
  if (typeof cell === 'number') return String(cell);
  return typeof cell === 'string' && !nothing.has(cell) ? cell : '';
}

const errors: ReadonlySet<string> = new Set(['Error', ...machineErrorReasons]);

/** Whether a row's `status` is an error. */
export function isErrorStatus(status: string): boolean {
  return errors.has(status);
}
