import { badRequest, type Clock } from '@selvedge/api';
import type { ConnectSubresource } from '../resource-definition.ts';
import type { ApiRequest } from './exchange.ts';
import type { RequestContext } from './request-context.ts';
import type { ResourcePath } from './request-path.ts';
import type { ServedRequest } from './served-request.ts';

interface ConnectCall extends Pick<RequestContext, 'user' | 'onDrain' | 'releaseSeat'> {
  readonly served: Pick<ServedRequest, 'req' | 'res' | 'auditId'>;
  readonly connect: ConnectSubresource;
  readonly path: ResourcePath;
  readonly clock: Clock;
  /** Throws when the user may no longer do this. */
  readonly checkAccess: () => void;
}

/** Sessions last for hours; rights are taken away sooner. */
const accessCheckMs = 60_000;

/** Hands an authorised request on. It holds no seat from then on: how long it takes is up to others. */
export async function serveConnect(call: ConnectCall): Promise<void> {
  const { served, connect, path, user } = call;
  const { req, res, auditId } = served;
  const { base, rest } = splitUrl(req.url ?? '/', path.below ?? '');
  refuseTricks(rest);
  const draining = new AbortController();
  call.onDrain(() => draining.abort('draining'));
  call.releaseSeat();
  const over = new AbortController();
  void watchAccess(call, over.signal).then((isLost) => isLost && draining.abort('access'));
  const { namespace, name = '' } = path;
  try {
    await connect.connect({
      namespace,
      name,
      base,
      rest,
      user,
      auditId,
      req,
      res,
      draining: draining.signal,
    });
  } finally {
    over.abort();
  }
}

/** Resolves with true when the user may no longer do what is under way, with false when it is over. */
async function watchAccess(
  { clock, checkAccess }: Pick<ConnectCall, 'clock' | 'checkAccess'>,
  over: AbortSignal,
): Promise<boolean> {
  for (;;) {
    await clock.sleep(accessCheckMs, over);
    if (over.aborted) return false;
    try {
      checkAccess();
    } catch {
      return true;
    }
  }
}

/** Node gives the bytes behind the head of such a request to the new protocol: a body would be taken for that. */
export function refuseUpgradeWithBody({ upgradeTo, headers }: ApiRequest): void {
  if (!upgradeTo) return;
  if (headers['transfer-encoding'] === undefined && Number(headers['content-length'] ?? 0) === 0) return;
  throw badRequest('a request that upgrades cannot have a body');
}

function splitUrl(url: string, below: string): { base: string; rest: string } {
  const [whole = ''] = url.replace(/^https?:\/\/[^/?#]*/i, '').split('#', 1);
  const mark = whole.indexOf('?');
  const path = mark < 0 ? whole : whole.slice(0, mark);
  return {
    base: path.slice(0, path.length - below.length),
    rest: below + whole.slice(path.length),
  };
}

/** What one program on the way may read in another way than the next. */
function refuseTricks(rest: string): void {
  if (!/^[\x21-\x7e]*$/.test(rest) || rest.includes('\\')) {
    throw badRequest('the path must be percent-encoded: it has characters that a URL cannot have');
  }
  const [path = ''] = rest.split('?', 1);
  if (/%(?![0-9a-f]{2})/i.test(path)) throw badRequest('the path has a wrong escape sequence');
  const isDots = (segment: string) => /^(?:\.|%2e){1,2}$/i.test(segment);
  if (path.split(/\/|%2f|%5c/i).some(isDots))
    throw badRequest('the path must not have "." or ".." as a segment');
}
