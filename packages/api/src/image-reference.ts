/** Where an image is asked for. */
export interface ImageReference {
  /** As written in the image's name, or Docker Hub's name for itself. */
  readonly registry: string;
  /** `host[:port]` to connect to. */
  readonly host: string;
  readonly repository: string;
  /** Tag or `sha256:…`; the digest where the name has both. */
  readonly reference: string;
  readonly tag?: string;
  readonly digest?: string;
}

const dockerHub = { name: 'docker.io', host: 'registry-1.docker.io' } as const;
const hostPattern = /^(?:\[[0-9a-f:.]+\]|[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)(?::\d{1,5})?$/i;
/** https://distribution.github.io/distribution/spec/api: path components of a name. */
const repositoryPattern =
  /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const tagPattern = /^\w[\w.-]{0,127}$/;
const digestPattern = /^sha256:[0-9a-f]{64}$/;
const longestName = 1000;
const longestRepository = 255;

/**
 * Reads an image's name as Kubernetes does: no host means Docker Hub, no tag means `latest`, beside a digest the tag means
 * nothing. `undefined` for what is no such name; nothing is asked for it then.
 */
export function parseImageReference(image: string): ImageReference | undefined {
  if (image.length > longestName) return undefined;
  const [name = '', digest, ...rest] = image.split('@');
  if (rest.length > 0 || (digest !== undefined && !digestPattern.test(digest))) return undefined;
  const slash = name.indexOf('/');
  const first = slash === -1 ? '' : name.slice(0, slash);
  const hasHost = first.includes('.') || first.includes(':') || first === 'localhost';
  const path = hasHost ? name.slice(slash + 1) : slash === -1 ? `library/${name}` : name;
  const colon = path.indexOf(':', path.lastIndexOf('/') + 1);
  const repository = colon === -1 ? path : path.slice(0, colon);
  const tag = colon === -1 ? (digest === undefined ? 'latest' : undefined) : path.slice(colon + 1);
  const registry = hasHost ? first : dockerHub.name;
  if (!hostPattern.test(registry) || repository.length > longestRepository) return undefined;
  if (!repositoryPattern.test(repository)) return undefined;
  if (tag !== undefined && !tagPattern.test(tag)) return undefined;
  const isDockerHub = registry === dockerHub.name || registry === `index.${dockerHub.name}`;
  const host = isDockerHub ? dockerHub.host : registry;
  return {
    registry: isDockerHub ? dockerHub.name : registry,
    host,
    repository: isDockerHub && !repository.includes('/') ? `library/${repository}` : repository,
    reference: digest ?? tag ?? 'latest',
    ...(tag === undefined ? {} : { tag }),
    ...(digest === undefined ? {} : { digest }),
  };
}
