import type { Duplex, Readable } from 'node:stream';
import type { ApiRequest, ApiResponse } from '@selvedge/apiserver';
import type { FarAnswer, FarCall, FarSide, FarUpgrade } from './far-side.ts';
import { answeredHeaders } from './link-headers.ts';

export interface RelayedRequest {
  readonly req: ApiRequest;
  readonly res: ApiResponse;
  /** Where the site's `/` is at the hub. */
  readonly base: string;
  readonly call: Omit<FarCall, 'signal'>;
  /** Fires when the hub is about to stop. */
  readonly draining: AbortSignal;
}

/** RFC 9113 §7. */
const noError = 0;

/** Passes a request on and its answer back, as fast as the slower side; resolves when all of it is over. Throws StatusError before the answer. */
export async function relay(request: RelayedRequest, far: FarSide): Promise<void> {
  const { req, res, draining } = request;
  const gone = new AbortController();
  const onGone = () => gone.abort('gone');
  res.once('close', onGone);
  const onDrain = () => endInGoodOrder(request, gone);
  draining.addEventListener('abort', onDrain, { once: true });
  if (draining.aborted) onDrain();
  const call = { ...request.call, signal: gone.signal };
  try {
    const offer = req.upgradeTo;
    if (offer) {
      const answer = await far.upgrade(call, offer.protocol.toLowerCase());
      if ('socket' in answer) await join(request, answer, gone.signal);
      else await answerWith(request, answer, gone);
      return;
    }
    await answerWith(request, await far.answer(call, hasBody(req) ? req : undefined), gone);
  } finally {
    draining.removeEventListener('abort', onDrain);
    res.off('close', onGone);
  }
}

/** Whether bytes of a body may come; over HTTP/2 the head says when none do. */
function hasBody(req: ApiRequest): boolean {
  if (req.httpVersionMajor === 2) return (req as { endAfterHeaders?: boolean }).endAfterHeaders !== true;
  return req.headers['transfer-encoding'] !== undefined || Number(req.headers['content-length'] ?? 0) > 0;
}

async function answerWith(request: RelayedRequest, answer: FarAnswer, gone: AbortController): Promise<void> {
  const { req, res, base } = request;
  for (const [name, value] of Object.entries(answeredHeaders(answer.headers, base))) {
    if (value !== undefined) res.setHeader(name, value);
  }
  // Nothing of an interim or a switching answer can be passed on as the last one.
  res.writeHead(answer.status >= 200 && answer.status <= 599 ? answer.status : 502);
  res.flushHeaders?.();
  try {
    await copy(answer.body, res);
  } catch {
    answer.body.destroy();
    // Cut, not ended: what came so far must not look like all of it. A session that ends with the hub ends in good order.
    if (request.draining.aborted && gone.signal.reason === 'draining') res.end();
    // With an error: without one, a stream of HTTP/2 is ended in good order before it is reset.
    else res.destroy(new Error('the answer was cut off'));
    return;
  }
  res.end();
  if (hasBody(req) && !req.readableEnded) res.once('finish', () => forgetRest(req));
}

/** What is left of a body that the site did not want would hold the connection for as long as its client likes. */
function forgetRest(req: ApiRequest): void {
  if (req.httpVersionMajor === 2) req.close?.(noError);
  else req.destroy();
}

/**
 * Rejects when the answer breaks off, or nobody takes it any more. By events: an HTTP/2 stream calls itself closed while there is something
 * to read in it, and an iterator takes that for its end.
 */
function copy(from: Readable, to: ApiResponse): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const broken = () => reject(new Error('cut off'));
  const onDrain = () => from.resume();
  from.on('data', (chunk: Buffer) => {
    if (!to.write(chunk)) from.pause();
  });
  // A stream of HTTP/2 that was reset, or lost with its connection, may end as if all had come.
  from.once('end', () => ((from as { rstCode?: number }).rstCode ? broken() : resolve()));
  from.once('error', broken);
  from.once('close', broken);
  to.on('drain', onDrain);
  to.once('close', broken);
  if (to.destroyed) broken();
  return promise.finally(() => {
    to.off('drain', onDrain);
    to.off('close', broken);
  });
}

/** Answers 101 and lets the bytes go both ways until both ends are closed. */
async function join(
  { req, res, base }: RelayedRequest,
  { headers, socket }: FarUpgrade,
  gone: AbortSignal,
): Promise<void> {
  const { upgradeTo: offer } = req;
  if (!offer) throw new Error('only a request that upgrades can be joined');
  for (const [name, value] of Object.entries(answeredHeaders(headers, base))) {
    if (value !== undefined && name !== 'content-length') res.setHeader(name, value);
  }
  res.setHeader('Connection', 'Upgrade');
  res.setHeader('Upgrade', offer.protocol);
  res.writeHead(101);
  res.flushHeaders?.();
  const onGone = () => {
    socket.destroy();
    offer.socket.destroy();
  };
  gone.addEventListener('abort', onGone, { once: true });
  if (gone.aborted) onGone();
  await splice({ near: offer.socket, head: offer.head, far: socket });
}

async function splice({ near, head, far }: { near: Duplex; head: Buffer; far: Duplex }): Promise<void> {
  const bothClosed = Promise.all(
    [near, far].map((end) => new Promise((resolve) => end.once('close', resolve))),
  );
  near.on('error', () => near.destroy());
  far.on('error', () => near.destroy());
  // Closed is more than ended: the site takes nothing any more either.
  far.once('close', () => (far.readableEnded ? closeSoon(near) : near.destroy()));
  near.once('close', () => far.destroy());
  if (near.destroyed) far.destroy();
  if (far.destroyed) near.destroy();
  if (head.length > 0) far.write(head);
  near.pipe(far);
  far.pipe(near);
  await bothClosed;
}

/** When what was written is out. */
function closeSoon(near: Duplex): void {
  near.end(() => near.destroy());
}

/** Watches and followed logs end as when their time is up, upgraded connections are closed; a transfer may still come to its end. */
function endInGoodOrder({ req, call }: RelayedRequest, gone: AbortController): void {
  const query = new URLSearchParams(call.path.split('?', 2)[1] ?? '');
  const isEndless = ['watch', 'follow'].some((name) => /^(?!0$|false$)/i.test(query.get(name) ?? '0'));
  if (isEndless || req.upgradeTo) gone.abort('draining');
}
