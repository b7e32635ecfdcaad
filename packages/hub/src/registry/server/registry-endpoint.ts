import type { Logger } from '@selvedge/api';
import type { ApiRequest, ApiResponse, UserInfo } from '@selvedge/apiserver';
import type { RegistryContent } from '../content/registry-content.ts';
import { DistributionError } from '../distribution-error.ts';
import type { RegistryCounts } from '../registry-counts.ts';
import { BlobRequests } from './blob-requests.ts';
import { ManifestRequests } from './manifest-requests.ts';
import { type Caller, namespaceOf, type RegistryAccess, type RegistryVerb } from './registry-access.ts';
import { RegistryExchange } from './registry-exchange.ts';
import { RegistryPlaces } from './registry-places.ts';
import { type RegistryRoute, readRegistryRoute } from './registry-route.ts';
import type { SiteImages } from './site-images.ts';
import { answerToken } from './token-endpoint.ts';

export interface RegistryEndpointOptions {
  readonly content: RegistryContent;
  readonly access: RegistryAccess;
  readonly siteImages: SiteImages;
  readonly counts: RegistryCounts;
  readonly logger: Logger;
}

const maxTokensAtOnce = 64;
const retryAfterSeconds = 5;
const reads: ReadonlySet<string> = new Set(['GET', 'HEAD']);

/** `/v2/…`: OCI distribution specification 1.1 (pull, push, content discovery and management), with Basic and Bearer authentication. */
export class RegistryEndpoint {
  readonly #o: RegistryEndpointOptions;
  readonly #blobs: BlobRequests;
  readonly #manifests: ManifestRequests;
  readonly #log: Logger;
  readonly #places = new RegistryPlaces();
  #tokensAtOnce = 0;

  constructor(options: RegistryEndpointOptions) {
    this.#o = options;
    this.#log = options.logger;
    this.#blobs = new BlobRequests(options);
    this.#manifests = new ManifestRequests(options);
  }

  /** Answers a request; never rejects. */
  async handle(req: ApiRequest, res: ApiResponse, certificateUser: UserInfo | undefined): Promise<void> {
    const exchange = new RegistryExchange(req, res);
    const { counts } = this.#o;
    let operation = 'other';
    try {
      const route = readRegistryRoute(exchange.path);
      operation = operationOf(route, exchange.method);
      await this.#serve(exchange, route, certificateUser);
    } catch (error) {
      this.#refuse(exchange, error);
    } finally {
      counts.request(operation, exchange.status);
      counts.bytes.received += exchange.bytes.received;
      counts.bytes.sent += exchange.bytes.sent;
    }
  }

  async #serve(
    exchange: RegistryExchange,
    route: RegistryRoute,
    certificateUser: UserInfo | undefined,
  ): Promise<void> {
    const { access } = this.#o;
    if (route.kind === 'token') {
      // Of anybody: they must not keep others from being served.
      if (this.#tokensAtOnce >= maxTokensAtOnce) throw tooMuch();
      this.#tokensAtOnce += 1;
      try {
        await answerToken(exchange, access);
      } finally {
        this.#tokensAtOnce -= 1;
      }
      return;
    }
    const caller = await access.identify(exchange.header('authorization'), certificateUser);
    if (caller === undefined) {
      throw new DistributionError(
        'UNAUTHORIZED',
        'log in with any name, and a token of this hub as the password (kubectl create token)',
      );
    }
    const giveBack = this.#places.take(caller, { isRead: reads.has(exchange.method) });
    try {
      await this.#answer(exchange, route, caller);
    } finally {
      giveBack();
    }
  }

  async #answer(exchange: RegistryExchange, route: RegistryRoute, caller: Caller): Promise<void> {
    const { access } = this.#o;
    if ('repository' in route) {
      await this.#authorize(exchange, route, caller);
      const who = caller.kind === 'site' ? `site ${caller.site}` : caller.user.name;
      if (route.kind === 'manifest' || route.kind === 'tags' || route.kind === 'referrers') {
        await this.#manifests.handle(exchange, route, who);
      } else {
        const mayRead = async (repository: string) =>
          caller.kind === 'user' &&
          access.may(caller.user, 'get', repository) &&
          !(await access.isHidden(repository));
        await this.#blobs.handle(exchange, route, { who, mayRead });
      }
    } else if (route.kind === 'catalog') {
      checkMethod(exchange, ['GET']);
      await this.#catalog(exchange, caller);
    } else {
      checkMethod(exchange, ['GET', 'HEAD']);
      exchange.answer({ status: 200, body: {} });
    }
  }

  async #authorize(
    exchange: RegistryExchange,
    route: Extract<RegistryRoute, { repository: string }>,
    caller: Caller,
  ): Promise<void> {
    const { access, siteImages } = this.#o;
    const { repository } = route;
    const verb: RegistryVerb = verbOf(route, exchange.method);
    if (caller.kind === 'user') {
      if (access.may(caller.user, verb, repository)) {
        if (verb === 'update') await access.checkNamespace(repository);
        else if (await access.isHidden(repository)) {
          throw new DistributionError('NAME_UNKNOWN', `there is no repository ${repository}`);
        }
        return;
      }
      throw new DistributionError(
        'DENIED',
        `user "${caller.user.name}" may not ${verb} repositories.selvedge.dev "${repository}" in the namespace "${namespaceOf(repository)}"`,
      );
    }
    const wanted = 'reference' in route ? route.reference : 'digest' in route ? route.digest : undefined;
    const isRead = reads.has(exchange.method) && wanted !== undefined && route.kind !== 'referrers';
    const isThere = isRead && !(await access.isHidden(repository));
    if (isThere && (await siteImages.mayRead(caller.site, repository, wanted))) return;
    throw new DistributionError(
      'DENIED',
      `the desired state of site "${caller.site}" names nothing like this in ${repository}`,
    );
  }

  /** Those that the user may read. */
  async #catalog(exchange: RegistryExchange, caller: Caller): Promise<void> {
    if (caller.kind !== 'user') throw new DistributionError('DENIED', 'sites do not list repositories');
    const all = await this.#o.content.listRepositories();
    const { access } = this.#o;
    const hidden = new Map<string, Promise<boolean>>();
    const repositories: string[] = [];
    for (const repository of all) {
      if (!access.may(caller.user, 'get', repository)) continue;
      const namespace = namespaceOf(repository);
      const isHidden = hidden.get(namespace) ?? access.isHidden(repository);
      hidden.set(namespace, isHidden);
      if (!(await isHidden)) repositories.push(repository);
    }
    exchange.answer({ status: 200, body: { repositories } });
  }

  #refuse(exchange: RegistryExchange, error: unknown): void {
    let fault: DistributionError;
    const { method, path } = exchange;
    if (exchange.gone.aborted) {
      this.#log.debug('registry request cut off', { method, path });
      return;
    }
    if (error instanceof DistributionError) {
      fault = error;
      const { code, message, cause } = error;
      const isOurs = code === 'UNAVAILABLE' || code === 'STORAGE_FULL';
      this.#log[isOurs ? 'warn' : 'debug']('registry request refused', {
        method,
        path,
        code,
        message,
        error: cause,
      });
    } else {
      this.#log.error('registry request failed', { method, path, error });
      fault = new DistributionError(
        'UNAVAILABLE',
        'the registry could not handle the request: see the log of the hub',
      );
    }
    if (exchange.response.headersSent) {
      // Only so the client learns that what it got is not all.
      exchange.response.destroy();
      return;
    }
    const { code, message } = fault;
    exchange.answer({
      status: fault.status,
      headers: {
        ...(code === 'UNAUTHORIZED' ? challenge(exchange) : {}),
        ...(code === 'TOOMANYREQUESTS' ? { 'retry-after': retryAfterSeconds } : {}),
        // The rest of a body that was not read is not waited for.
        ...(reads.has(method) || exchange.request.httpVersionMajor !== 1 ? {} : { connection: 'close' }),
      },
      body: { errors: [{ code, message }] },
    });
  }
}

function tooMuch(): DistributionError {
  return new DistributionError('TOOMANYREQUESTS', 'the registry has too much to do: try again soon');
}

function challenge(exchange: RegistryExchange): Record<string, string> {
  return {
    'www-authenticate': `Bearer realm="https://${exchange.host()}/v2/token",service="${exchange.host()}"`,
  };
}

/** Throws DistributionError. */
function checkMethod(exchange: RegistryExchange, allowed: readonly string[]): void {
  if (allowed.includes(exchange.method)) return;
  throw new DistributionError(
    'UNSUPPORTED',
    `this path takes ${allowed.join(' or ')}, not ${exchange.method}`,
  );
}

/** An upload is writing, also when its size is read. */
function verbOf(route: RegistryRoute, method: string): RegistryVerb {
  if (route.kind === 'uploads' || route.kind === 'upload') return 'update';
  if (reads.has(method)) return 'get';
  return method === 'DELETE' ? 'delete' : 'update';
}

function operationOf(route: RegistryRoute, method: string): string {
  if (route.kind === 'uploads' || route.kind === 'upload') return 'upload';
  const isContent = route.kind === 'manifest' || route.kind === 'blob';
  if (!isContent) return route.kind;
  return `${reads.has(method) ? 'pull' : method === 'DELETE' ? 'delete' : 'push'}-${route.kind}`;
}
