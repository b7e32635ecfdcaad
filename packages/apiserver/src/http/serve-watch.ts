import { watchEvents } from '../registry/watch.ts';
import { watchStart } from '../registry/read-options.ts';
import { parseSelection } from '../registry/selection.ts';
import { presenterFor } from './presenter.ts';
import { type Call, listQueryOf } from './resource-call.ts';
import { streamEvents } from './watch-stream.ts';

/** As Kubernetes: a client that gives no time gets half an hour to an hour, so that watches spread over servers. */
const defaultTimeoutSeconds = 1800;
const longestTimeoutSeconds = 24 * 3600;

export async function serveWatch(call: Call): Promise<void> {
  const { registry, resource, query, res } = call;
  const { clock, logger } = registry;
  const asked = query.count('timeoutSeconds') || defaultTimeoutSeconds * (1 + Math.random());
  const timeoutSeconds = Math.min(asked, longestTimeoutSeconds);
  const presenter = presenterFor(call);
  const watchQuery = listQueryOf(call);
  // What is wrong with the request is answered with its own code, not in a stream.
  const { initial } = watchStart(watchQuery);
  parseSelection(resource, watchQuery);
  const stop = new AbortController();
  call.onDrain(() => stop.abort('draining'));
  // Over HTTP/2 the end of a client is seen only when its request has been read to its end.
  call.req.resume();
  const timeout = clock.sleep(timeoutSeconds * 1000, stop.signal).then(() => stop.abort());
  if (!initial) call.releaseSeat();
  const sent = registry.metrics.watchEvents(resource.ref);
  await streamEvents({
    res,
    stop,
    resource,
    presenter,
    events: watchEvents(registry, resource, { ...watchQuery, signal: stop.signal }),
    bookmarks: query.flag('allowWatchBookmarks'),
    clock,
    logger: logger.child({ component: 'watch', resource: resource.name }),
    onSent: (events) => sent.add(events),
    onInitialSent: () => call.releaseSeat(),
  });
  await timeout;
}
