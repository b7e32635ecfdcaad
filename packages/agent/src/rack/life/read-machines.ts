import type { MachineOrder, MachinePhase, OperationalStatus, PowerState, RackOrder } from '@selvedge/api';
import type { AgentDatabase } from '../../state/agent-database.ts';
import type { MachineRecord } from './machine-record.ts';
import { reportMachine } from './report-machine.ts';

/** A machine as a person at the site sees it. */
export interface MachineStatus {
  /** Of the Machine; for a box that nobody wants, `box:<mac>`. */
  readonly name: string;
  readonly phase: MachinePhase;
  readonly phaseSince: string;
  readonly status: OperationalStatus;
  readonly power: PowerState;
  readonly image?: string;
  readonly address?: string;
  /** What went wrong, or what is waited for and what comes next. */
  readonly message?: string;
}

/** Out of the agent's database, whether the agent runs or not. */
export function readMachines(
  database: AgentDatabase,
  order: RackOrder | undefined,
  now: Date,
): MachineStatus[] {
  const orders = new Map(order?.machines.map((machine) => [machine.uid, machine]));
  return database
    .all('SELECT key, body FROM machines ORDER BY key')
    .map((row) => JSON.parse(String(row['body'])) as MachineRecord)
    .map((record) => describe(record, orders.get(record.key), now))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

function describe(record: MachineRecord, order: MachineOrder | undefined, now: Date): MachineStatus {
  const { phase, phaseSince, status, power, provisioned, seen, error, waiting } = reportMachine(record, {
    order,
    now: now.toISOString(),
  });
  const message = error?.message ?? (waiting && `${waiting.expected}; ${waiting.next}`);
  return {
    name: order?.name ?? record.key,
    phase,
    phaseSince,
    status,
    power: power.state,
    ...(provisioned === undefined ? {} : { image: provisioned.image }),
    ...(seen.address === undefined ? {} : { address: seen.address }),
    ...(message === undefined ? {} : { message }),
  };
}
