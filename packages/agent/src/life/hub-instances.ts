import type { SiteReport } from '@selvedge/api';
import type { AgentDatabase } from '../state/agent-database.ts';
import { unlessStorageFull } from '../state/agent-database.ts';
import { findMeta, putMeta } from '../state/enrolment-record.ts';

type Sighting = NonNullable<SiteReport['hubInstances']>[number];

/** More are not needed to notice that one comes back. */
const longestMemory = 10;
/** Two hubs that take turns meet an agent within this time, or one of them is gone. */
const alarmMs = 3_600_000;

/**
 * Which hubs have answered. A hub that was restored or copied answers as another instance, and one that was left never comes
 * back: when it does, two hubs live under one identity.
 */
export class HubInstances {
  readonly #database: AgentDatabase;
  /** In the order in which they were last met. */
  #sightings: Sighting[];
  #alarmUntilMs: number;

  constructor(database: AgentDatabase) {
    this.#database = database;
    const stored = JSON.parse(findMeta(database, 'hubInstances') ?? '{}') as {
      sightings?: Sighting[];
      alarmUntilMs?: number;
    };
    this.#sightings = stored.sightings ?? [];
    this.#alarmUntilMs = stored.alarmUntilMs ?? 0;
  }

  /** To be called with every answer. True when it was another one than before. */
  met(instance: string, now: Date): boolean {
    const current = this.#sightings.at(-1);
    const sighting = { instance: instance.slice(0, 100), lastSeenTime: now.toISOString() };
    if (current?.instance === sighting.instance) return false;
    const others = this.#sightings.filter((one) => one.instance !== sighting.instance);
    if (others.length < this.#sightings.length) this.#alarmUntilMs = now.getTime() + alarmMs;
    this.#sightings = [...others, sighting].slice(-longestMemory);
    this.#save();
    return true;
  }

  /** Present while hubs take turns; the newest last. */
  takingTurns(now: Date): readonly Sighting[] | undefined {
    return now.getTime() < this.#alarmUntilMs ? this.#sightings.slice(-longestMemory) : undefined;
  }

  #save(): void {
    const text = JSON.stringify({ sightings: this.#sightings, alarmUntilMs: this.#alarmUntilMs });
    unlessStorageFull(() => putMeta(this.#database, 'hubInstances', text));
  }
}
