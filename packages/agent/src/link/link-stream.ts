import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';
import type { IncomingHttpHeaders as StreamHeaders, ServerHttp2Stream } from 'node:http2';
import { PassThrough, Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { isStatusError, type Logger, StatusError } from '@selvedge/api';
import type { LinkAnswer, LinkCall, LinkDoor, LinkUpgrade } from './link-door.ts';
import { answeredHeaders, passedHeaders, readLinkUser } from './link-headers.ts';
import { checkAllowed, effectiveAccess, isWithin, type LinkLimits, requiredAccess } from './link-policy.ts';

export interface LinkStreamOptions {
  /** Asked at each stream: a door that could not be opened may be later. */
  readonly door: () => Promise<LinkDoor>;
  readonly limits: () => LinkLimits;
  readonly logger: Logger;
}

/** One request of the hub to the site, from its headers to the last byte of its answer. */
export class LinkStream {
  readonly #stream: ServerHttp2Stream;
  readonly #options: LinkStreamOptions;
  readonly #gone = new AbortController();
  #required: 'Read' | 'Full' = 'Full';

  constructor(stream: ServerHttp2Stream, options: LinkStreamOptions) {
    this.#stream = stream;
    this.#options = options;
    stream.on('error', () => {
      // `close` follows, and the one who asked is gone.
    });
    // A reset is known at once; `close` waits until the bytes that came before it were read.
    for (const event of ['aborted', 'close']) stream.once(event, () => this.#gone.abort());
  }

  /** Never rejects. */
  async serve(headers: StreamHeaders): Promise<void> {
    const stream = this.#stream;
    try {
      const { call, protocol } = this.#admit(headers);
      const door = await this.#options.door();
      if (protocol === undefined) {
        await this.#reply(call.method, await door.answer(call, bodyOf(stream, call.method)));
        return;
      }
      const answer = await door.upgrade(call, protocol);
      if ('socket' in answer) await this.#join(answer);
      else await this.#reply(call.method, answer);
    } catch (error) {
      try {
        this.#fail(error, headers[':method']);
      } catch {
        // Reset by the hub just now: nobody is left to tell.
      }
    }
  }

  /** The site's policy has changed: what it no longer allows ends now. */
  checkPolicy(): void {
    if (isWithin(this.#required, effectiveAccess(this.#options.limits()))) return;
    this.cancel();
  }

  cancel(): void {
    cut(this.#stream, 'no longer allowed');
    this.#gone.abort();
  }

  /** What may be asked, and as what it is asked. Throws StatusError. */
  #admit(headers: StreamHeaders): { call: LinkCall; protocol: string | undefined } {
    const { ':method': verb = '', ':path': path = '', ':protocol': protocol, ...rest } = headers;
    const isUpgrade = protocol !== undefined;
    if (isUpgrade !== (verb === 'CONNECT')) {
      throw new StatusError('MethodNotAllowed', 'the link carries no plain CONNECT');
    }
    if (isUpgrade && protocol !== 'websocket' && protocol !== 'spdy/3.1') {
      throw new StatusError('BadRequest', 'the link carries upgrades to websocket and to SPDY/3.1 only');
    }
    // As kubectl asks: an extended CONNECT does not tell.
    const method = isUpgrade ? (protocol === 'websocket' ? 'GET' : 'POST') : verb;
    const asked = { method, path, isUpgrade };
    const limits = this.#options.limits();
    const required = requiredAccess(asked);
    checkAllowed(asked, required, limits);
    this.#required = required;
    const user = readLinkUser(rest);
    if (required === 'Full') {
      // Without the query, which may hold a command with a password in it.
      this.#options.logger.info('a person works at this site over the service link', {
        user: user.name,
        method: isUpgrade ? protocol : method,
        path: path.split('?')[0],
      });
    }
    const call = { method, path, headers: passedHeaders(rest), user, signal: this.#gone.signal };
    return { call, protocol: typeof protocol === 'string' ? protocol : undefined };
  }

  async #reply(method: string, answer: LinkAnswer): Promise<void> {
    const stream = this.#stream;
    answer.body.on('error', () => {
      // Told by `pipeline`, unless there is nobody left to tell.
    });
    if (isOver(stream) || stream.headersSent) {
      answer.body.destroy();
      return;
    }
    const hasBody = method !== 'HEAD' && answer.status !== 204 && answer.status !== 304;
    this.#respond(answer.status, answer.headers, { endStream: !hasBody });
    if (hasBody) await pipeline(answer.body, stream);
    else answer.body.resume();
  }

  /** Raw bytes both ways until both ends have ended, or one is gone. */
  async #join({ headers, socket }: LinkUpgrade): Promise<void> {
    const stream = this.#stream;
    socket.on('error', () => {
      // `close` follows.
    });
    if (isOver(stream) || stream.headersSent) {
      socket.destroy();
      return;
    }
    this.#respond(200, headers, { endStream: false });
    this.#gone.signal.addEventListener('abort', () => socket.destroy(), { once: true });
    // No pipeline for this direction: it would destroy the stream when the site closes, with what is still on its way to the client.
    stream.pipe(socket);
    socket.once('close', () => stream.resume());
    await pipeline(socket, stream);
    // The answer is whole; what the client may still say interests nobody.
    if (socket.destroyed) stream.close();
    else socket.once('close', () => stream.close());
  }

  #respond(status: number, headers: IncomingHttpHeaders, options: { endStream: boolean }): void {
    const fields: OutgoingHttpHeaders = { ...answeredHeaders(headers), ':status': status };
    this.#stream.respond(fields, options);
  }

  #fail(error: unknown, verb: string | undefined): void {
    const stream = this.#stream;
    if (isOver(stream)) return;
    if (stream.headersSent) {
      cut(stream, 'the answer of the site broke off');
      return;
    }
    const status = isStatusError(error)
      ? error
      : new StatusError('InternalError', 'the agent of this site failed at the request');
    if (status !== error) {
      this.#options.logger.error('a request over the service link failed', {
        error: (error as Error).message,
      });
    }
    const { retryAfterSeconds } = status.details;
    const body = Buffer.from(JSON.stringify(status.toBody()));
    const headers = {
      ':status': status.code,
      'content-type': 'application/json',
      'content-length': body.length,
      ...(retryAfterSeconds === undefined ? {} : { 'retry-after': String(retryAfterSeconds) }),
    };
    if (verb === 'HEAD') stream.respond(headers, { endStream: true });
    else {
      stream.respond(headers);
      stream.end(body);
    }
    // What the client still sends is not waited for.
    stream.resume();
  }
}

/** One that the hub has reset while its body was not read is closed, and not yet destroyed. */
function isOver(stream: ServerHttp2Stream): boolean {
  return stream.destroyed || stream.closed;
}

/** So that the hub sees that something is missing: `close` with an error code ends a stream in good order first. */
function cut(stream: ServerHttp2Stream, reason: string): void {
  if (!stream.destroyed) stream.destroy(new Error(reason));
}

/** A stream that is lost with its session ends as one that is complete; what is left of a body must not pass for all of it. */
function bodyOf(stream: ServerHttp2Stream, method: string): Readable {
  if (method === 'GET' || method === 'HEAD') {
    stream.resume();
    return Readable.from([]);
  }
  const body = new PassThrough({
    flush: (done) => done(stream.aborted || stream.destroyed ? new Error('the request was cut off') : null),
  });
  body.on('error', () => {
    // Who reads it is told.
  });
  stream.once('close', () => {
    if (!body.writableEnded) body.destroy(new Error('the request was cut off'));
  });
  return stream.pipe(body);
}
