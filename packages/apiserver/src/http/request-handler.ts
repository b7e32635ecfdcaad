import { constants } from 'node:http2';
import { isStatusError, type Logger, StatusError } from '@selvedge/api';
import { type AuditOptions, Auditor } from '../audit/auditor.ts';
import { authenticate } from '../authentication/authenticate.ts';
import type { Authenticator, Credentials } from '../authentication/authenticator.ts';
import { anonymousUser, type UserInfo } from '../authentication/user-info.ts';
import { authorize } from '../authorization/authorize.ts';
import type { Decision } from '../authorization/authorizer.ts';
import { impersonatedUser } from '../authorization/impersonate.ts';
import { DiscoveryEndpoints } from '../discovery/discovery-endpoints.ts';
import { versionInfo } from '../discovery/version-info.ts';
import {
  FlowControl,
  type FlowLimits,
  type FlowPlace,
  type RequestShape,
} from '../flow-control/flow-control.ts';
import type { Health } from '../health/health.ts';
import { answerHealth, isHealthPath } from '../health/health-endpoint.ts';
import type { ServerMetrics } from '../metrics/server-metrics.ts';
import type { Registry } from '../registry/registry.ts';
import { connectOf, type Resource } from '../registry/resource-catalog.ts';
import type { ConnectSubresource } from '../resource-definition.ts';
import type { Endpoint } from './endpoint.ts';
import { refuseUpgradeWithBody, serveConnect } from './serve-connect.ts';
import type { ApiRequest, ApiResponse } from './exchange.ts';
import { readBody } from './read-body.ts';
import type { RequestContext } from './request-context.ts';
import { type RequestInfo, readRequestInfo } from './request-info.ts';
import { requestLabels } from './request-labels.ts';
import type { ResourcePath } from './request-path.ts';
import { ResourceEndpoints } from './resource-endpoints.ts';
import { send, sendJson } from './respond.ts';
import { ServedRequest } from './served-request.ts';

export interface RequestHandlerOptions {
  readonly registry: Registry;
  readonly authenticators: readonly Authenticator[];
  readonly endpoints: readonly Endpoint[];
  readonly health: Health;
  readonly metrics: ServerMetrics;
  readonly limits: FlowLimits;
  readonly audit: AuditOptions | undefined;
}

type Peer = Pick<Credentials, 'certificateUser'>;

/** What a request turned out to ask for. */
interface Target {
  readonly resource: Resource | undefined;
  readonly endpoint: Endpoint | undefined;
  readonly connect: ConnectSubresource | undefined;
}

/**
 * One request from its first line to its answer, always in this order: what it asks for → health → who asks
 * (authentication) → audit begins → as whom (impersonation) → whether (authorization) → when (flow control) → the
 * endpoint. Authorization answers from memory, so a refusal takes no seat from anybody.
 */
export class RequestHandler {
  readonly #o: RequestHandlerOptions;
  readonly #logger: Logger;
  readonly #discovery: DiscoveryEndpoints;
  readonly #resources: ResourceEndpoints;
  readonly #endpoints: ReadonlyMap<string, Endpoint>;
  readonly #auditor: Auditor | undefined;
  readonly #flow: FlowControl;
  readonly #open = new Set<ServedRequest>();
  #isDraining = false;
  #onIdle: (() => void) | undefined;

  constructor(options: RequestHandlerOptions) {
    const { registry, audit, metrics, limits } = options;
    const { clock } = registry;
    this.#o = options;
    this.#logger = registry.logger.child({ component: 'api' });
    this.#discovery = new DiscoveryEndpoints(registry.catalog);
    this.#resources = new ResourceEndpoints(registry);
    this.#endpoints = new Map(options.endpoints.map((endpoint) => [endpoint.path, endpoint]));
    this.#auditor =
      audit &&
      new Auditor({
        ...audit,
        clock,
        isSecret: (info) => hasSecretBody(info, this.#targetOf(info)),
        onEvent: () => metrics.auditEvents.of().add(),
      });
    metrics.registry.read(
      {
        name: 'apiserver_audit_error_total',
        help: 'Audit events that could not be kept: the log was too slow, or could not be written.',
        type: 'counter',
        labelNames: [],
      },
      () => [[[], audit?.sink.dropped ?? 0]],
    );
    this.#flow = new FlowControl({ limits, clock, metrics });
  }

  /** Never rejects: whatever happens is answered as a Status. */
  async handle(req: ApiRequest, res: ApiResponse, peer: Peer): Promise<void> {
    const served = new ServedRequest(req, res, {
      clock: this.#o.registry.clock,
      logger: this.#logger,
      metrics: this.#o.metrics,
      auditor: this.#auditor,
      onEnd: () => this.#leaves(served),
    });
    this.#open.add(served);
    try {
      await this.#serve(served, peer);
    } catch (error) {
      served.failed(error);
      this.#sendError(served, error);
    } finally {
      served.handled();
    }
  }

  /** Ends watches; resolves when no request is open. */
  async drain(): Promise<void> {
    this.#isDraining = true;
    for (const served of this.#open) served.drain();
    if (this.#open.size === 0) return;
    await new Promise<void>((resolve) => {
      this.#onIdle = resolve;
    });
  }

  #leaves(served: ServedRequest): void {
    this.#open.delete(served);
    if (this.#open.size === 0) this.#onIdle?.();
  }

  async #serve(served: ServedRequest, peer: Peer): Promise<void> {
    const { req, res } = served;
    const info = readRequestInfo(req, (path) => this.#connectOf(path) !== undefined);
    const target = this.#targetOf(info);
    const isLongRunning =
      info.attributes.verb === 'watch' ||
      target.endpoint?.isLongRunning === true ||
      target.connect !== undefined;
    served.asks(
      requestLabels(info, {
        resource: target.resource,
        path: target.endpoint?.path ?? publicPath(info.path),
        isApply: req.headers['content-type']?.startsWith('application/apply-patch') ?? false,
      }),
      isLongRunning,
    );
    if (isRead(info) && (await this.#answerInPublic(res, info))) return;
    if (isRead(info) && target.endpoint?.isPublic) {
      await target.endpoint.handle(req, res, anonymousUser);
      return;
    }
    refuseUpgradeWithBody(req);
    const user = await this.#admit(served, { info, target, peer });
    const shape = { ...shapeOf(info, isLongRunning), isSession: target.connect !== undefined };
    const place = this.#flow.enter(user, shape);
    served.enters(place);
    const takesBody = hasBody(req) && !target.endpoint && !target.connect;
    const body = takesBody ? await this.#readBody(served, place) : emptyBody;
    // Gone while it waited: nobody is there to answer, and nothing has been done.
    if (!(await place.sit(served.gone))) return;
    served.begins();
    await this.#route({
      served,
      info,
      target,
      user,
      readBody: () => Promise.resolve(body),
      recordObject: (metadata) => served.isAbout(metadata),
      onDrain: (end) => {
        served.drain = end;
        if (this.#isDraining) end();
      },
      releaseSeat: () => place.follows(),
    });
  }

  /** Who asks, as whom, and whether that one may. Throws `Unauthorized`, `Forbidden`. */
  async #admit(
    served: ServedRequest,
    { info, target, peer }: { info: RequestInfo; target: Target; peer: Peer },
  ): Promise<UserInfo> {
    const { registry, metrics } = this.#o;
    const { req } = served;
    let caller: UserInfo;
    try {
      caller = await this.#authenticate(req, peer);
      metrics.authentications.of('success').add();
    } catch (error) {
      metrics.authentications.of(isStatusError(error) ? 'failure' : 'error').add();
      served.isFrom(undefined, info);
      throw error;
    }
    const audit = served.isFrom(caller, info);
    try {
      const impersonated = impersonatedUser(registry.authorizer, caller, req.rawHeaders);
      if (impersonated) audit?.impersonates(impersonated);
      const user = impersonated ?? caller;
      const decision = this.#authorize(user, { info, target, req });
      audit?.decided('allow', decision.reason);
      return user;
    } catch (error) {
      if (isStatusError(error) && error.reason === 'Forbidden') audit?.decided('forbid', '');
      throw error;
    }
  }

  /** Throws `Forbidden`. */
  #authorize(
    user: UserInfo,
    { info, target, req }: { info: RequestInfo; target: Target; req: ApiRequest },
  ): Decision {
    const { authorizer } = this.#o.registry;
    const { attributes } = info;
    const decision = authorize(authorizer, user, attributes);
    // As Kubernetes since 1.35 for exec: who may only read must not get a shell by asking for it with GET.
    if (req.upgradeTo && target.connect && !('path' in attributes)) {
      authorize(authorizer, user, { ...attributes, verb: 'create' });
    }
    return decision;
  }

  async #authenticate(req: ApiRequest, peer: Peer): Promise<UserInfo> {
    const [, bearerToken] = /^Bearer +(\S+)$/i.exec(req.headers.authorization ?? '') ?? [];
    const credentials = { ...peer, ...(bearerToken === undefined ? {} : { bearerToken }) };
    const user = await authenticate(this.#o.authenticators, credentials);
    if (user) return user;
    throw new StatusError(
      'Unauthorized',
      'Unauthorized: use a client certificate, as in the admin kubeconfig of the hub, or a token',
    );
  }

  /** Without a seat: how fast it comes is up to the client. */
  async #readBody(served: ServedRequest, place: FlowPlace): Promise<Buffer> {
    const bytes = await readBody(served.req, this.#o.registry.clock, (count) => place.countBody(count));
    served.hasBody(bytes);
    return bytes;
  }

  async #route({ served, target, ...rest }: RouteRequest): Promise<void> {
    const { req, res } = served;
    const { info, user } = rest;
    if (target.connect && info.resource) {
      const checkAccess = () => void this.#authorize(user, { info, target, req });
      const { clock } = this.#o.registry;
      const { connect } = target;
      await serveConnect({ ...rest, served, connect, path: info.resource, clock, checkAccess });
      return;
    }
    if (info.resource) {
      await this.#resources.answer({ ...rest, req, res, path: info.resource, query: info.query });
      return;
    }
    const { endpoint } = target;
    if (endpoint) {
      if (endpoint.method !== req.method && !(endpoint.method === 'GET' && req.method === 'HEAD')) {
        throw new StatusError(
          'MethodNotAllowed',
          `${endpoint.path} takes ${endpoint.method}, not ${req.method}`,
        );
      }
      if (endpoint.isLongRunning) rest.releaseSeat();
      await endpoint.handle(req, res, user);
      return;
    }
    if (isRead(info) && this.#discovery.answer(req, res, info.path)) return;
    throw new StatusError('NotFound', 'the server could not find the requested resource');
  }

  #targetOf(info: RequestInfo): Target {
    return {
      resource: info.resource && this.#o.registry.catalog.find(info.resource),
      endpoint: info.resource ? undefined : this.#endpoints.get(info.path),
      connect: info.resource && this.#connectOf(info.resource),
    };
  }

  #connectOf(path: ResourcePath): ConnectSubresource | undefined {
    const { name, subresource } = path;
    if (name === undefined || subresource === undefined) return undefined;
    const resource = this.#o.registry.catalog.find(path);
    return resource && connectOf(resource, subresource);
  }

  /** What anybody may know; says whether it was that. */
  async #answerInPublic(res: ApiResponse, { path, query }: RequestInfo): Promise<boolean> {
    if (path === '/version') {
      sendJson(res, versionInfo());
      return true;
    }
    if (!isHealthPath(path)) return false;
    const { status, text } = await answerHealth(this.#o.health, {
      path,
      isVerbose: query.has('verbose'),
      exclude: query.all('exclude'),
    });
    const headers = { 'Cache-Control': 'no-cache, private', 'X-Content-Type-Options': 'nosniff' };
    send(res, Buffer.from(text), { status, contentType: 'text/plain; charset=utf-8', headers });
    return true;
  }

  #sendError({ req, res, auditId }: ServedRequest, error: unknown): void {
    let status: StatusError;
    if (isStatusError(error)) status = error;
    else {
      status = new StatusError('InternalError', 'an internal error occurred: see the log of the hub');
      this.#logger.error('request failed', {
        auditID: auditId,
        method: req.method,
        path: pathOf(req),
        error,
      });
    }
    if (res.headersSent || res.destroyed) {
      res.destroy();
      return;
    }
    const { retryAfterSeconds } = status.details;
    const headers: Record<string, string> = {};
    if (retryAfterSeconds !== undefined)
      headers['Retry-After'] = String(Math.max(1, Math.ceil(retryAfterSeconds)));
    if (status.reason === 'Unauthorized') headers['WWW-Authenticate'] = 'Bearer';
    // What is left of a refused body would be taken for the next request on this connection.
    if (req.httpVersionMajor === 1 && !req.readableEnded) headers['Connection'] = 'close';
    sendJson(res, status.toBody(), { status: status.code, headers });
    // RFC 9113 §8.1. Else the rest of a refused body holds the stream for as long as its client likes.
    if (req.httpVersionMajor === 2 && hasBody(req) && !req.readableEnded) {
      res.once('finish', () => req.close?.(constants.NGHTTP2_NO_ERROR));
    }
  }
}

interface RouteRequest extends Omit<RequestContext, 'req' | 'res'> {
  readonly served: ServedRequest;
  readonly target: Target;
}

const isRead = ({ method }: RequestInfo): boolean => method === 'GET' || method === 'HEAD';

const emptyBody = Buffer.alloc(0);
const methodsWithBody = new Set(['POST', 'PUT', 'PATCH', 'DELETE']);
const hasBody = ({ method }: ApiRequest): boolean => methodsWithBody.has(method ?? '');

const discoveryPath = /^\/(?:apis?|openapi)(?:\/|$)/;

/** For metrics: the family of a path that everybody may ask for. */
function publicPath(path: string): string | undefined {
  if (isHealthPath(path)) return path.split('/', 2).join('/');
  if (path === '/version') return path;
  const [, root] = /^(\/(?:apis?|openapi))/.exec(discoveryPath.test(path) ? path : '') ?? [];
  return root;
}

/** Credentials go out of or into these, or what may be one: their bodies are no matter for the audit log. */
function hasSecretBody({ resource: path }: RequestInfo, { resource }: Target): boolean {
  if (!path || !resource) return false;
  const { subresource = '' } = path;
  return (
    resource.definition.sensitive === true ||
    resource.ref.group === 'authentication.k8s.io' ||
    Object.hasOwn(resource.actions, subresource) ||
    Object.hasOwn(resource.connect, subresource)
  );
}

function shapeOf(
  { attributes, query }: RequestInfo,
  isLongRunning: boolean,
): Omit<RequestShape, 'isSession'> {
  const { verb } = attributes;
  const isList = verb === 'list' || verb === 'watch';
  if ('path' in attributes || !isList || (verb === 'watch' && !beginsWithList(query))) {
    return { isMutating: !('path' in attributes) && verb !== 'get', isLongRunning, answerKey: undefined };
  }
  const { group, resource, namespace = '', name = '' } = attributes;
  const parameters = ['limit', 'labelSelector', 'fieldSelector'].map(
    (parameter) => query.text(parameter) ?? '',
  );
  const answerKey = [group, resource, namespace, name, ...parameters].join('\0').slice(0, 1000);
  return { isMutating: false, isLongRunning, answerKey };
}

/** Whether a watch hands out the present objects first. */
function beginsWithList(query: RequestInfo['query']): boolean {
  const version = query.text('resourceVersion') ?? '0';
  return version === '0' || query.has('sendInitialEvents');
}

/** Without the query, for the log. */
const pathOf = (req: ApiRequest): string => (req.url ?? '').split('?')[0] ?? '';
