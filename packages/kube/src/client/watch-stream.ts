import { type KubeObject, StatusError, statusErrorFromBody, type WatchEvent } from '@selvedge/api';

/**
 * Reads watch events, one JSON text per line, from chunks that may break anywhere, within a character too. An ERROR
 * event is thrown as the StatusError that it carries. What follows the last line break is dropped: it is an event cut
 * short, and a watch from the last complete one brings it again.
 */
export async function* readWatchEvents<T extends KubeObject>(
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<WatchEvent<T>> {
  for await (const line of readLines(chunks)) yield parseEvent<T>(line);
}

async function* readLines(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8');
  let unfinished = '';
  for await (const chunk of chunks) {
    const lines = decoder.decode(chunk, { stream: true }).split('\n');
    const last = lines.pop() ?? '';
    for (const line of lines) {
      const complete = unfinished + line;
      unfinished = '';
      if (complete.trim() !== '') yield complete;
    }
    unfinished += last;
  }
}

function parseEvent<T extends KubeObject>(line: string): WatchEvent<T> {
  let event: { type?: unknown; object?: unknown };
  try {
    event = JSON.parse(line) as typeof event;
  } catch (cause) {
    throw new StatusError('InternalError', 'the server sent a watch event that is not JSON', { cause });
  }
  switch (event.type) {
    case 'ADDED':
    case 'MODIFIED':
    case 'DELETED':
      return { type: event.type, object: event.object as T };
    case 'BOOKMARK': {
      const resourceVersion = (event.object as KubeObject).metadata.resourceVersion;
      if (resourceVersion === undefined) {
        throw new StatusError('InternalError', 'the server sent a bookmark without metadata.resourceVersion');
      }
      return { type: 'BOOKMARK', resourceVersion };
    }
    case 'ERROR': {
      const code = (event.object as { code?: unknown } | null)?.code;
      throw statusErrorFromBody(event.object, typeof code === 'number' ? code : 500);
    }
    default:
      throw new StatusError(
        'InternalError',
        `the server sent a watch event of unknown type ${JSON.stringify(event.type)}`,
      );
  }
}
