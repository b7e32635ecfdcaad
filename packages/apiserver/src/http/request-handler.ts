import { isStatusError, StatusError } from '@selvedge/api';
import { authorize } from '../authorization/authorize.ts';
import { authenticate } from '../authentication/authenticate.ts';
import type { Authenticator, Credentials } from '../authentication/authenticator.ts';
import type { UserInfo } from '../authentication/user-info.ts';
import { DiscoveryEndpoints } from '../discovery/discovery-endpoints.ts';
import { versionInfo } from '../discovery/version-info.ts';
import type { Registry } from '../registry/registry.ts';
import type { ApiRequest, ApiResponse } from './exchange.ts';
import { QueryParameters } from './query-parameters.ts';
import { parseResourcePath } from './request-path.ts';
import { ResourceEndpoints } from './resource-endpoints.ts';
import { send, sendJson } from './respond.ts';

const healthPaths = new Set(['/healthz', '/livez', '/readyz']);

/** One request from path to answer. */
export class RequestHandler {
  readonly #registry: Registry;
  readonly #authenticators: readonly Authenticator[];
  readonly #discovery: DiscoveryEndpoints;
  readonly #resources: ResourceEndpoints;

  constructor(registry: Registry, authenticators: readonly Authenticator[]) {
    this.#registry = registry;
    this.#authenticators = authenticators;
    this.#discovery = new DiscoveryEndpoints(registry.catalog);
    this.#resources = new ResourceEndpoints(registry);
  }

  /** Never rejects: whatever happens is answered as a Status. */
  async handle(req: ApiRequest, res: ApiResponse, peer: Pick<Credentials, 'certificateUser'>): Promise<void> {
    // A client that goes away in the middle is no error of ours.
    res.on('error', () => res.destroy());
    try {
      await this.#route(req, res, peer);
    } catch (error) {
      this.#sendError(req, res, error);
    }
  }

  async #route(req: ApiRequest, res: ApiResponse, peer: Pick<Credentials, 'certificateUser'>): Promise<void> {
    const url = URL.parse(req.url ?? '/', 'https://localhost');
    if (!url) throw new StatusError('BadRequest', 'the URL of the request cannot be read');
    const { pathname, searchParams } = url;
    const isRead = req.method === 'GET' || req.method === 'HEAD';
    if (isRead && healthPaths.has(pathname)) {
      send(res, Buffer.from('ok'), { contentType: 'text/plain; charset=utf-8' });
      return;
    }
    if (isRead && pathname === '/version') {
      sendJson(res, versionInfo());
      return;
    }
    const user = await this.#userOf(req, peer);
    const path = parseResourcePath(pathname);
    if (path) {
      await this.#resources.answer({ req, res, user, path, query: new QueryParameters(searchParams) });
      return;
    }
    authorize(this.#registry.authorizer, user, { verb: (req.method ?? '').toLowerCase(), path: pathname });
    if (isRead && this.#discovery.answer(req, res, pathname)) return;
    throw new StatusError('NotFound', 'the server could not find the requested resource');
  }

  async #userOf(req: ApiRequest, peer: Pick<Credentials, 'certificateUser'>): Promise<UserInfo> {
    const [, bearerToken] = /^Bearer +(\S+)$/i.exec(req.headers.authorization ?? '') ?? [];
    const credentials = { ...peer, ...(bearerToken === undefined ? {} : { bearerToken }) };
    const user = await authenticate(this.#authenticators, credentials);
    if (user) return user;
    throw new StatusError(
      'Unauthorized',
      'Unauthorized: use a client certificate, as in the admin kubeconfig of the hub, or a token',
    );
  }

  #sendError(req: ApiRequest, res: ApiResponse, error: unknown): void {
    let status: StatusError;
    if (isStatusError(error)) status = error;
    else {
      status = new StatusError('InternalError', 'an internal error occurred: see the log of the hub');
      this.#registry.logger.error('request failed', { method: req.method, path: pathOf(req), error });
    }
    if (res.headersSent || res.destroyed) {
      res.destroy();
      return;
    }
    const { retryAfterSeconds } = status.details;
    const headers: Record<string, string> = {};
    if (retryAfterSeconds !== undefined) headers['Retry-After'] = String(retryAfterSeconds);
    // What is left of a refused body would be taken for the next request on this connection.
    if (req.httpVersionMajor === 1 && !req.readableEnded) headers['Connection'] = 'close';
    sendJson(res, status.toBody(), { status: status.code, headers });
  }
}

/** Without the query, for the log. */
const pathOf = (req: ApiRequest): string => (req.url ?? '').split('?')[0] ?? '';
