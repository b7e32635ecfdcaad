import type { MachineReport, RackReport, SyncRequest, SyncResponse } from '@selvedge/api';

/** What a hub was told of machines. */
export class TestMachines {
  /** What the rack last said of itself. */
  rack: RackReport | undefined;
  /** By key, the newest of each. */
  readonly #reports = new Map<string, MachineReport>();

  find(key: string): MachineReport | undefined {
    return this.#reports.get(key);
  }

  /** @returns whether there was anything. */
  take({ rack, machines = [] }: SyncRequest): boolean {
    this.rack = rack ?? this.rack;
    for (const report of machines) this.#reports.set(report.key, report);
    return rack !== undefined || machines.length > 0;
  }

  /** All of it is stored. */
  acknowledgement(): Pick<SyncResponse, 'ackMachines'> {
    const numbers = [...this.#reports.values()].map(({ seq }) => seq);
    return numbers.length === 0 ? {} : { ackMachines: Math.max(...numbers) };
  }
}
