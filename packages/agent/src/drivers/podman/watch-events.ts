import type { LibpodClient } from './libpod-client.ts';

interface PodmanEvent {
  Type?: string;
  Action?: string;
  status?: string;
}

/** Calls back when containers or images of this machine changed, until the stream ends. Throws LibpodError. */
export async function watchEvents(
  client: LibpodClient,
  signal: AbortSignal,
  onChange: (of: 'container' | 'image') => void,
): Promise<void> {
  const filters = JSON.stringify({ type: ['container', 'image'] });
  const events = client.stream<PodmanEvent>({ path: '/events', query: { stream: true, filters }, signal });
  for await (const event of events) {
    if (event.Type === 'image') onChange('image');
    else if (isNews(event)) onChange('container');
  }
}

/** Probes and our own looking around make events too. */
function isNews(event: PodmanEvent): boolean {
  const action = event.Action ?? event.status ?? '';
  return ['start', 'died', 'die', 'stop', 'remove', 'create', 'kill', 'pause', 'unpause'].includes(action);
}
