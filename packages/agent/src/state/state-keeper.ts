import type { AgentDatabase } from './agent-database.ts';
import type { ContentStore } from './content-store.ts';

/** Keeps a second copy of the state directory where it survives this machine: see decision 0022. */
export interface StateKeeper {
  /**
   * Brings the directory to what was kept last, before anything in it is opened. Waits until that can be read: an agent that
   * does not know its past must not begin a new one. Ends early with the signal. Throws when what was kept is damaged.
   */
  restore(signal: AbortSignal): Promise<void>;
  /** What to keep from now on. */
  attach(parts: { database: AgentDatabase; content: ContentStore }): void;
  /** Resolves when everything that the directory holds now is kept; tries until then, or until the signal fires. */
  keep(signal: AbortSignal): Promise<void>;
  /**
   * Keeps the state as it will be after `change` of the database, which is undone again: for what must not be lost once it is accepted.
   * One try of some seconds; throws when it failed.
   */
  keepFirst(change: () => void, signal: AbortSignal): Promise<void>;
  /** Keeps changes some seconds after they were made. Rejects when another agent has written since: then this one has to end. */
  run(signal: AbortSignal): Promise<void>;
}
