import { type Event, events, isNotFound } from '@selvedge/api';
import type { ControllerOptions } from '../controller-context.ts';

const keptSeconds = 24 * 3600;
const sweepSeconds = 600;

/** Deletes Events that are older than a day, every ten minutes, until the signal fires. */
export async function expireEvents({ client, clock, logger, signal }: ControllerOptions): Promise<void> {
  const log = logger.child({ controller: 'event' });
  while (!signal.aborted) {
    await clock.sleep(sweepSeconds * 1000, signal);
    if (signal.aborted) return;
    try {
      const oldest = clock.now().getTime() - keptSeconds * 1000;
      const { items } = await client.list<Event>(events);
      for (const { metadata, ...event } of items) {
        const last = event.lastTimestamp ?? event.eventTime ?? metadata.creationTimestamp ?? '';
        if (!(Date.parse(last) < oldest) || signal.aborted) continue;
        await client.delete(events, metadata).catch((error: unknown) => {
          if (!isNotFound(error)) throw error;
        });
      }
    } catch (error) {
      log.warn('old events not deleted', { error });
    }
  }
}
