import { type LinkAccess, StatusError } from '@selvedge/api';

/** What is asked of the site, as it came over the link. */
export interface AskedOfSite {
  readonly method: string;
  /** With the query, as it is sent on. */
  readonly path: string;
  readonly isUpgrade: boolean;
}

/** Whose word it is: the hub's `Site.spec.link`, and the agent's own `--link`. */
export interface LinkLimits {
  readonly site: LinkAccess;
  readonly local: LinkAccess;
}

const rank: Readonly<Record<LinkAccess, number>> = { Disabled: 0, Read: 1, Full: 2 };

/** The stricter of both holds. */
export function effectiveAccess({ site, local }: LinkLimits): LinkAccess {
  return rank[site] < rank[local] ? site : local;
}

export function isWithin(required: LinkAccess, allowed: LinkAccess): boolean {
  return allowed !== 'Disabled' && rank[required] <= rank[allowed];
}

/** Throws Forbidden, naming the setting that stands in the way. */
export function checkAllowed(asked: AskedOfSite, required: LinkAccess, limits: LinkLimits): void {
  if (isWithin(required, effectiveAccess(limits))) return;
  const what = asked.isUpgrade ? 'a streaming session' : asked.method;
  const path = asked.path.split('?')[0] ?? '';
  const cause =
    rank[limits.local] < rank[required]
      ? `the agent of this site runs with --link ${limits.local.toLowerCase()}`
      : `Site.spec.link is ${limits.site}`;
  throw new StatusError('Forbidden', `${cause}: ${what} on ${path} needs ${required}`);
}

/**
 * The least `Site.spec.link` with which this may be asked. `Read` is only what is known to change nothing and to lead no further than
 * the Kubernetes API itself; whatever is not known to be so is `Full`. Paths are judged as Kubernetes reads them (RequestInfo).
 * Throws BadRequest for what no client of Kubernetes sends: another reader on the way could see another path in it.
 */
export function requiredAccess(asked: AskedOfSite): 'Read' | 'Full' {
  const segments = parsePath(asked);
  if (asked.isUpgrade || segments === undefined) return 'Full';
  switch (asked.method) {
    case 'GET':
    case 'HEAD':
      return isReadablePath(segments) ? 'Read' : 'Full';
    case 'POST':
      return isQuestion(segments) ? 'Read' : 'Full';
    default:
      return 'Full';
  }
}

const methods = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);
const longestPath = 64 * 1024;

/** Decoded; undefined when more than one reading is possible (an encoded or a double slash, an encoded `%`). */
function parsePath({ method, path }: AskedOfSite): string[] | undefined {
  if (!methods.has(method)) throw new StatusError('MethodNotAllowed', 'the link does not carry this method');
  // Visible ASCII without `#`, as in the request line that the site's API gets.
  if (path.length > longestPath || !/^\/[\x21\x22\x24-\x7e]*$/.test(path)) throw strangePath();
  const raw = path.split('?', 1)[0] ?? '';
  let decoded: string;
  try {
    decoded = decodeURIComponent(raw);
  } catch {
    throw strangePath();
  }
  // oxlint-disable-next-line no-control-regex
  if (/[\x00-\x1f\x7f\\]/.test(decoded)) throw strangePath();
  const segments = decoded.split('/').slice(1);
  if (segments.some((segment) => segment === '.' || segment === '..')) throw strangePath();
  const isPlain = segments.length === raw.split('/').length - 1 && !decoded.includes('%');
  if (segments.at(-1) === '') segments.pop();
  return isPlain && !segments.includes('') ? segments : undefined;
}

function strangePath(): StatusError {
  return new StatusError('BadRequest', 'the path of the request is not one that the link carries');
}

const version = /^v\d+((alpha|beta)\d+)?$/;
const resourceName = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;

function isReadablePath(segments: readonly string[]): boolean {
  const [root, second, third] = segments;
  switch (root) {
    case undefined:
      return true;
    case 'version':
      return segments.length === 1;
    case 'healthz':
    case 'livez':
    case 'readyz':
      return true;
    case 'openapi':
      return (second === 'v2' && segments.length === 2) || second === 'v3';
    case 'api':
      if (segments.length <= 2) return second === undefined || version.test(second);
      return version.test(second ?? '') && isReadableResource('', segments.slice(2));
    case 'apis':
      if (segments.length <= 2) return true;
      if (segments.length === 3) return version.test(third ?? '');
      return version.test(third ?? '') && isReadableResource(second ?? '', segments.slice(3));
    case 'rack':
      // What a machine's inspection system wrote, as the log of a pod.
      return segments.length === 5 && segments[2] === 'machines' && segments[4] === 'log';
    default:
      return false;
  }
}

const namespaceSubresources = ['status', 'finalize'];
const readableSubresources = ['status', 'scale'];

function isReadableResource(group: string, path: readonly string[]): boolean {
  // KubeVirt and its like: such a group has nothing but verbs in the form of resources.
  if (group.startsWith('subresources.')) return false;
  let rest = path[0] === 'watch' ? path.slice(1) : path;
  if (rest[0] === 'namespaces' && rest.length > 2 && !namespaceSubresources.includes(rest[2] ?? '')) {
    rest = rest.slice(2);
  }
  const [resource, , subresource] = rest;
  // `/api/v1/proxy/…` was the way to nodes and pods once.
  if (resource === undefined || resource === 'proxy' || resource === 'watch') return false;
  if (!resourceName.test(resource) || rest.length > 3) return false;
  if (subresource === undefined) return true;
  if (subresource === 'log') return group === '' && resource === 'pods';
  return readableSubresources.includes(subresource);
}

/** Each asks about the asker alone. Reviews of others (SubjectAccessReview, TokenReview) tell more than that. */
const questions: Readonly<Record<string, readonly string[]>> = {
  'authorization.k8s.io': ['selfsubjectaccessreviews', 'selfsubjectrulesreviews'],
  'authentication.k8s.io': ['selfsubjectreviews'],
};

function isQuestion(segments: readonly string[]): boolean {
  const [root, group = '', groupVersion = '', resource = ''] = segments;
  return (
    segments.length === 4 &&
    root === 'apis' &&
    version.test(groupVersion) &&
    Object.hasOwn(questions, group) &&
    questions[group]?.includes(resource) === true
  );
}
