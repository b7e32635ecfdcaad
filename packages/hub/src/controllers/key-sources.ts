import type { Clock } from '@selvedge/api';
import type { KeySource } from '@selvedge/kube';

/** Lets each key through at once, and then not again for a while: a burst of changes becomes two reconciles. */
export function coalesced(
  source: KeySource,
  options: { clock: Clock; milliseconds: number; signal: AbortSignal },
): KeySource {
  const { clock, milliseconds, signal } = options;
  return {
    ...(source.synced ? { synced: source.synced } : {}),
    subscribe: (enqueue) => {
      /** Keys let through lately; `true`: asked for again since. */
      const recent = new Map<string, boolean>();
      const rest = async (key: string) => {
        await clock.sleep(milliseconds, signal);
        if (signal.aborted) return;
        const isAskedAgain = recent.get(key) === true;
        recent.delete(key);
        if (isAskedAgain) pass(key);
      };
      const pass = (key: string) => {
        if (recent.has(key)) {
          recent.set(key, true);
          return;
        }
        recent.set(key, false);
        enqueue(key);
        void rest(key);
      };
      return source.subscribe(pass);
    },
  };
}

/** Asks `findKeys` every so often, until the signal fires. An error of it is its own to report. */
export function periodic(options: {
  clock: Clock;
  milliseconds: number;
  signal: AbortSignal;
  findKeys: () => Promise<Iterable<string>>;
}): KeySource {
  const { clock, milliseconds, signal, findKeys } = options;
  return {
    subscribe: (enqueue) => {
      const end = new AbortController();
      const both = AbortSignal.any([signal, end.signal]);
      const run = async () => {
        while (!both.aborted) {
          for (const key of await findKeys()) enqueue(key);
          await clock.sleep(milliseconds, both);
        }
      };
      void run();
      return () => end.abort();
    },
  };
}
