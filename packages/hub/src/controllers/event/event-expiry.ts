import { type Event, events } from '@selvedge/api';
import type { ControllerOptions } from '../controller-context.ts';
import { deleteIfPresent } from '../delete-if-present.ts';

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
        await deleteIfPresent(client, events, metadata);
      }
    } catch (error) {
      log.warn('old events not deleted', { error });
    }
  }
}
