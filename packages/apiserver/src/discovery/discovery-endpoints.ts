import type { ApiRequest, ApiResponse } from '../http/exchange.ts';
import { parseMediaTypes } from '../http/negotiate.ts';
import { type CachedBody, cachedBody, sendCached } from '../http/respond.ts';
import type { Resource, ResourceCatalog } from '../registry/resource-catalog.ts';
import { aggregatedDiscovery, type AggregatedVersion } from './aggregated.ts';
import { gnosticDocument } from './gnostic-protobuf.ts';
import { legacyDiscovery, pathOf } from './legacy.ts';
import { openApiV2 } from './openapi-v2.ts';
import { openApiV3 } from './openapi-v3.ts';

const json = 'application/json';
/** The `@` that clients ask with is no legal media type, so answers have a dot there. */
const gnosticType = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf';
const gnosticTypes = new Set([gnosticType, gnosticType.replace('v2.', 'v2@')]);
/** A document under a hashed URL never changes. */
const immutable = 'public, immutable, max-age=31536000';

/** What the server serves, told to clients. Documents are made when first asked for and kept. */
export class DiscoveryEndpoints {
  readonly #catalog: ResourceCatalog;
  readonly #legacy: ReadonlyMap<string, object>;
  readonly #groupVersions: ReadonlyMap<string, Resource[]>;
  readonly #bodies = new Map<string, CachedBody>();

  constructor(catalog: ResourceCatalog) {
    this.#catalog = catalog;
    this.#legacy = legacyDiscovery(catalog);
    this.#groupVersions = Map.groupBy(catalog.all, (r) => pathOf(r).slice(1));
  }

  /** Whether the path was one of these, and has been answered. */
  answer(req: ApiRequest, res: ApiResponse, pathname: string): boolean {
    const path = pathname.length > 1 ? pathname.replace(/\/+$/, '') : pathname;
    const { accept } = req.headers;
    if (path === '/api' || path === '/apis') sendCached(req, res, this.#groups(path, accept));
    else if (path === '/openapi/v2') sendCached(req, res, this.#openApiV2(accept));
    else if (path === '/openapi/v3') sendCached(req, res, this.#openApiV3Index());
    else if (path.startsWith('/openapi/v3/'))
      return this.#answerGroupVersion(req, res, path.slice('/openapi/v3/'.length));
    else if (path === '/')
      sendCached(
        req,
        res,
        this.#json('/', () => ({ paths: this.#paths() })),
      );
    else {
      const document = this.#legacy.get(path);
      if (!document) return false;
      sendCached(
        req,
        res,
        this.#json(path, () => document),
      );
    }
    return true;
  }

  #groups(path: '/api' | '/apis', accept: string | undefined): CachedBody {
    const version = aggregatedVersion(accept);
    if (!version) return this.#json(path, () => this.#legacy.get(path) ?? {});
    const contentType = `${json};g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`;
    const make = () =>
      Buffer.from(JSON.stringify(aggregatedDiscovery(this.#catalog, path === '/api', version)));
    return this.#body(`${path} ${version}`, contentType, make);
  }

  #openApiV2(accept: string | undefined): CachedBody {
    const document = () => openApiV2(this.#catalog.all);
    const wanted = parseMediaTypes(accept).find(({ type }) => gnosticTypes.has(type) || type === json);
    if (!wanted || wanted.type === json) return this.#json('/openapi/v2', document);
    return this.#body('v2 protobuf', gnosticType, () => gnosticDocument(document()));
  }

  #openApiV3Index(): CachedBody {
    return this.#json('/openapi/v3', () => ({
      paths: Object.fromEntries(
        [...this.#groupVersions.keys()].map((name) => [
          name,
          { serverRelativeURL: this.#groupVersionUrl(name) },
        ]),
      ),
    }));
  }

  #groupVersionUrl(name: string): string {
    return `/openapi/v3/${name}?hash=${hashOf(this.#groupVersion(name))}`;
  }

  #answerGroupVersion(req: ApiRequest, res: ApiResponse, name: string): boolean {
    const body = this.#groupVersion(name);
    if (!body) return false;
    const hash = new URL(req.url ?? '/', 'https://localhost').searchParams.get('hash');
    if (hash !== null && hash !== hashOf(body)) {
      // What stands under a hashed URL is kept for ever, so it must never be another document.
      res.setHeader('Location', this.#groupVersionUrl(name));
      res.writeHead(301);
      res.end();
    } else sendCached(req, res, hash === null ? body : { ...body, cacheControl: immutable });
    return true;
  }

  #groupVersion(name: string): CachedBody | undefined {
    const resources = this.#groupVersions.get(name);
    return resources && this.#json(`v3 ${name}`, () => openApiV3(resources));
  }

  #json(key: string, make: () => object): CachedBody {
    return this.#body(key, json, () => Buffer.from(JSON.stringify(make())));
  }

  #body(key: string, contentType: string, make: () => Buffer): CachedBody {
    const body = this.#bodies.get(key) ?? cachedBody(make(), contentType);
    this.#bodies.set(key, body);
    return body;
  }

  #paths(): string[] {
    const openApi = [
      '/openapi/v2',
      '/openapi/v3',
      ...[...this.#groupVersions.keys()].map((n) => `/openapi/v3/${n}`),
    ];
    return [...this.#legacy.keys(), '/healthz', '/livez', ...openApi, '/readyz', '/version'].sort();
  }
}

/** The first form in the client's order that we have; `undefined`: the old documents. */
function aggregatedVersion(accept: string | undefined): AggregatedVersion | undefined {
  for (const { type, parameters } of parseMediaTypes(accept)) {
    if (type !== json && type !== '*/*') continue;
    if (parameters['as'] === undefined) return undefined;
    const isAggregated =
      parameters['as'] === 'APIGroupDiscoveryList' && parameters['g'] === 'apidiscovery.k8s.io';
    if (isAggregated && (parameters['v'] === 'v2' || parameters['v'] === 'v2beta1')) return parameters['v'];
  }
  return undefined;
}

const hashOf = (body: CachedBody | undefined): string => (body?.etag ?? '').replaceAll('"', '');
