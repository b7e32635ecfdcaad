import { badRequest } from '@selvedge/api';
import { watchObjects } from '../registry/watch.ts';
import { presenterFor } from './presenter.ts';
import { type Call, listQueryOf } from './resource-call.ts';
import { streamEvents } from './watch-stream.ts';

/** As Kubernetes: a client that gives no time gets half an hour to an hour, so that watches spread over servers. */
const defaultTimeoutSeconds = 1800;
const longestTimeoutSeconds = 24 * 3600;

export async function serveWatch(call: Call): Promise<void> {
  const { registry, resource, query, res } = call;
  const { clock, logger } = registry;
  const sendInitialEvents = query.flag('sendInitialEvents');
  if (sendInitialEvents && query.text('resourceVersionMatch') !== 'NotOlderThan') {
    throw badRequest('sendInitialEvents needs resourceVersionMatch=NotOlderThan');
  }
  const asked = query.count('timeoutSeconds') || defaultTimeoutSeconds * (1 + Math.random());
  const timeoutSeconds = Math.min(asked, longestTimeoutSeconds);
  const presenter = presenterFor(call);
  const stop = new AbortController();
  // Over HTTP/2 the end of a client is seen only when its request has been read to its end.
  call.req.resume();
  const timeout = clock.sleep(timeoutSeconds * 1000, stop.signal).then(() => stop.abort());
  const { namespace, labelSelector, fieldSelector, resourceVersion } = listQueryOf(call);
  await streamEvents({
    res,
    stop,
    events: watchObjects(registry, resource, {
      namespace,
      labelSelector,
      fieldSelector,
      resourceVersion,
      sendInitialEvents,
      signal: stop.signal,
    }),
    bookmarks: query.flag('allowWatchBookmarks'),
    clock,
    logger: logger.child({ component: 'watch', resource: resource.name }),
    present: presenter.event,
    bookmark: presenter.bookmark,
  });
  await timeout;
}
