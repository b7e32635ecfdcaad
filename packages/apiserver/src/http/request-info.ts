import { badRequest } from '@selvedge/api';
import type { Attributes, ResourceAttributes } from '../authorization/authorizer.ts';
import type { ApiRequest } from './exchange.ts';
import { QueryParameters } from './query-parameters.ts';
import { parseResourcePath, type ResourcePath } from './request-path.ts';

/** What a request asks for: read once, used by authorization, audit, flow control, metrics and the endpoints. */
export interface RequestInfo {
  readonly method: string;
  /** Decoded, without the query. */
  readonly path: string;
  readonly query: QueryParameters;
  /** Absent for paths that are no resources. */
  readonly resource: ResourcePath | undefined;
  readonly attributes: Attributes;
}

const severalVerbs = new Set(['list', 'watch', 'deletecollection']);
const maxUrlLength = 32 * 1024;

/** Throws `BadRequest`. @param handsOn whether there may be a path below this subresource. */
export function readRequestInfo(req: ApiRequest, handsOn?: (path: ResourcePath) => boolean): RequestInfo {
  const method = req.method ?? 'GET';
  // The absolute form (RFC 9112 §3.2.2) is what clients send to proxies; servers have to take it too.
  const url = (req.url ?? '/').replace(/^https?:\/\/[^/?#]*/i, '').split('#', 1)[0] ?? '';
  if (url.length > maxUrlLength) throw badRequest(`the URL is longer than ${maxUrlLength} characters`);
  const mark = url.indexOf('?');
  const rawPath = (mark < 0 ? url : url.slice(0, mark)) || '/';
  const query = new QueryParameters(new URLSearchParams(mark < 0 ? '' : url.slice(mark + 1)));
  const resource = parseResourcePath(rawPath, handsOn);
  if (resource) {
    return {
      method,
      path: rawPath,
      query,
      resource,
      attributes: resourceAttributes(method, resource, query),
    };
  }
  const path = decodePath(rawPath);
  return { method, path, query, resource, attributes: { verb: method.toLowerCase(), path } };
}

function resourceAttributes(method: string, path: ResourcePath, query: QueryParameters): ResourceAttributes {
  const { group, version, plural, subresource } = path;
  const verb = verbOf(method, path.name !== undefined, query);
  // As Kubernetes: a list of one object by its name may be allowed by a rule with `resourceNames` …
  const name = path.name ?? (severalVerbs.has(verb) ? selectedName(query) : undefined);
  // … and a namespace lies in itself.
  const namespace = group === '' && plural === 'namespaces' ? path.name : path.namespace;
  return { verb, group, version, resource: plural, subresource, namespace, name };
}

function verbOf(method: string, isOne: boolean, query: QueryParameters): string {
  switch (method) {
    case 'GET':
    case 'HEAD':
      return isOne ? 'get' : query.flag('watch') ? 'watch' : 'list';
    case 'POST':
      return 'create';
    case 'PUT':
      return 'update';
    case 'PATCH':
      return 'patch';
    case 'DELETE':
      return isOne ? 'delete' : 'deletecollection';
    default:
      return method.toLowerCase();
  }
}

function selectedName(query: QueryParameters): string | undefined {
  for (const term of (query.text('fieldSelector') ?? '').split(',')) {
    const [, name] = /^\s*metadata\.name==?([a-z0-9][-a-z0-9.:]*)\s*$/.exec(term) ?? [];
    if (name !== undefined) return name;
  }
  return undefined;
}

function decodePath(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch (cause) {
    throw badRequest('the path has a wrong escape sequence', cause);
  }
}
