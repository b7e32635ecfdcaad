import type { Clock } from '@selvedge/api';

/** A reading that took a second is made again after twenty: it may take a twentieth of the hub's time. */
const restPerWork = 20;

/**
 * A reading that may be asked for at any time, as by a screen that is drawn every second: it is made anew once it has rested for long enough, else it is what it was. One that
 * failed is made anew.
 */
export function pacedReading<T>(read: () => Promise<T>, clock: Pick<Clock, 'now'>): () => Promise<T> {
  let last: { readonly value: T; readonly untilMs: number } | undefined;
  const nowMs = () => clock.now().getTime();
  return async () => {
    const startMs = nowMs();
    if (last !== undefined && startMs < last.untilMs) return last.value;
    last = undefined;
    const value = await read();
    const endMs = nowMs();
    last = { value, untilMs: endMs + restPerWork * Math.max(0, endMs - startMs) };
    return value;
  };
}
