import { parseImageReference } from '../image-reference.ts';

const dockerHub = 'docker.io';
const dockerHubNames: ReadonlySet<string> = new Set([
  'index.docker.io',
  'registry-1.docker.io',
  'registry.hub.docker.com',
]);

/**
 * Where an image is: `registry[:port]/path`, without tag and digest. Short names are written out as Kubernetes does
 * (`nginx` → `docker.io/library/nginx`). Undefined for what is no image's name.
 */
export function imageRepository(image: string): string | undefined {
  const reference = parseImageReference(image);
  return reference && `${registryName(reference.registry)}/${reference.repository}`;
}

/**
 * `host[:port][/path]` as it is compared: what people and docker's configuration write beside it (scheme, `/v1/`, other names of
 * Docker Hub) is taken away.
 */
export function registryScope(text: string): string {
  const [host = '', ...path] = text.replace(/^https?:\/\//, '').split('/');
  const rest = path.filter((part) => part !== '');
  const isApi = rest.length === 1 && /^v[12]$/.test(rest[0] ?? '');
  return [registryName(host), ...(isApi ? [] : rest)].join('/');
}

/** Whether a scope (`registryScope`) is the repository, its registry, or a path above it. */
export function coversRepository(scope: string, repository: string): boolean {
  return repository === scope || repository.startsWith(`${scope}/`);
}

/** Of entries with a scope the one that says most about a repository: the longest that covers it, of equal ones the first. */
export function findForRepository<T>(
  entries: readonly T[],
  repository: string,
  scopeOf: (entry: T) => string,
): T | undefined {
  let best: T | undefined;
  let length = -1;
  for (const entry of entries) {
    const scope = registryScope(scopeOf(entry));
    if (scope.length <= length || !coversRepository(scope, repository)) continue;
    best = entry;
    length = scope.length;
  }
  return best;
}

function registryName(host: string): string {
  const name = host.toLowerCase();
  return dockerHubNames.has(name) ? dockerHub : name;
}
