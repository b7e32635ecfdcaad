import { isStatusError, printable } from '@selvedge/api';
import type { HttpClient } from '@selvedge/kube';
import { isErrorStatus, type MachineRow, readMachineRows } from '../machine/read-machine-rows.ts';
import type { Problem } from './status-report.ts';

export type CountedMachine = Pick<MachineRow, 'name' | 'site' | 'phase' | 'status'>;

export interface MachineCounts {
  readonly total: number;
  /** `Unknown`: no rack has spoken of them yet. */
  readonly phases: Readonly<Record<string, number>>;
  readonly discovered: number;
}

/** None where this user may not see machines. */
export async function readVisibleMachines(client: HttpClient): Promise<MachineRow[]> {
  try {
    return await readMachineRows(client);
  } catch (error) {
    if (isStatusError(error, 'Forbidden')) return [];
    throw error;
  }
}

export function countMachines(rows: readonly CountedMachine[]): MachineCounts {
  const phases: Record<string, number> = {};
  for (const row of rows) {
    const phase = row.phase || 'Unknown';
    phases[phase] = (phases[phase] ?? 0) + 1;
  }
  return { total: rows.length, phases, discovered: phases['Discovered'] ?? 0 };
}

export function machineProblems({ name, site, phase, status }: CountedMachine): Problem[] {
  if (!isErrorStatus(status)) return [];
  return [
    {
      severity: 'error',
      about: `machine ${name}`,
      message: printable(`${status}, in phase ${phase}, at site ${site}`),
      command: `selvedge machine show ${name}`,
    },
  ];
}
