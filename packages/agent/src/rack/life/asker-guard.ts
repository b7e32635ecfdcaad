import type { Logger } from '@selvedge/api';
import type { BootDecision, BootRequest } from '../boot/machine-desk.ts';
import { findAskerRefusal } from './check-asker.ts';
import type { BoxFinder } from './find-box.ts';
import type { MachineKeeper } from './machine-keeper.ts';
import { addSeconds, noteMoment } from './machine-record.ts';

/** Turns away who asks what to boot in the name of a machine that he is not. */
export class AskerGuard {
  readonly #o: { readonly finder: BoxFinder; readonly keeper: MachineKeeper; readonly logger: Logger };
  /** When it was last noted, by key. */
  readonly #refusedAt = new Map<string, string>();

  constructor(options: {
    readonly finder: BoxFinder;
    readonly keeper: MachineKeeper;
    readonly logger: Logger;
  }) {
    this.#o = options;
  }

  /** Nothing is changed of the machine in whose name somebody else asks, but that people hear of it. */
  refuse(request: BootRequest, wire: readonly string[]): BootDecision | undefined {
    const { finder, keeper, logger } = this.#o;
    const { now } = keeper;
    const { macAddress, uuid, serial } = request;
    for (const machine of finder.claimed({ macAddresses: [macAddress], uuid, serial })) {
      const refusal = findAskerRefusal(machine, { request, wire, now });
      if (refusal === undefined) continue;
      const { message, told } = refusal;
      const key = machine.record?.key;
      if (key !== undefined && addSeconds(this.#refusedAt.get(key) ?? '1970-01-01', refusalSeconds) < now) {
        this.#refusedAt.set(key, now);
        logger.warn('somebody asked what to boot in the name of a machine', { machine: key, message });
        const moment = { time: now, type: 'Warning' as const, reason: 'BootRefused', message };
        keeper.change(key, (before) => noteMoment(before, moment));
      }
      if (told === 'NotFound') return { boot: 'Disk', method: 'NotFound' };
      return { boot: 'Wait', seconds: 10, attempts: 30, message: 'The inspection system runs elsewhere.' };
    }
    return undefined;
  }
}

/** Who asks again and again must not fill the timeline. */
const refusalSeconds = 600;
