import { type HubOptions, resolveHubOptions } from './hub-options.ts';
import { startHub } from './start-hub.ts';

/**
 * Runs a hub until the signal fires, or without one until SIGTERM or SIGINT; resolves after an orderly stop. Rejects
 * when the hub cannot start, with a message for the person who started it.
 */
export async function runHub(options: HubOptions, signal: AbortSignal = stopSignal()): Promise<void> {
  const { logger } = resolveHubOptions(options);
  const hub = await startHub({ ...options, logger });
  logger.info('hub ready', { url: hub.url, startMs: Math.round(performance.now()) });
  if (!signal.aborted) {
    await new Promise<void>((resolve) => {
      signal.addEventListener('abort', () => resolve(), { once: true });
    });
  }
  logger.info('hub stopping');
  await hub.close();
  logger.info('hub stopped');
}

/** Fires once; a second signal ends the process at once, as is the default. */
function stopSignal(): AbortSignal {
  const stop = new AbortController();
  const names = ['SIGTERM', 'SIGINT'] as const;
  const onSignal = () => {
    for (const name of names) process.removeListener(name, onSignal);
    stop.abort();
  };
  for (const name of names) process.on(name, onSignal);
  return stop.signal;
}
