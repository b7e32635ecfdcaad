/** Where an image is asked for. */
export interface ImageReference {
  /** As written in the image's name, or Docker Hub's name for itself. */
  readonly registry: string;
  /** `host[:port]` to connect to. */
  readonly host: string;
  readonly repository: string;
  /** Tag or `sha256:…`. */
  readonly reference: string;
}

const hub = { name: 'docker.io', host: 'registry-1.docker.io' } as const;
const host = /^(?:\[[0-9a-f:.]+\]|[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)(?::\d{1,5})?$/i;
/** https://distribution.github.io/distribution/spec/api: path components of a name. */
const repository = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const tag = /^\w[\w.-]{0,127}$/;
const digest = /^sha256:[0-9a-f]{64}$/;

/**
 * Reads an image's name as Kubernetes does: no host means Docker Hub, no tag means `latest`, beside a digest the tag means
 * nothing. `undefined` for what is no such name; nothing is asked for it then.
 */
export function parseImageReference(image: string): ImageReference | undefined {
  if (image.length > 1000) return undefined;
  const [name = '', wanted, ...rest] = image.split('@');
  if (rest.length > 0 || (wanted !== undefined && !digest.test(wanted))) return undefined;
  const slash = name.indexOf('/');
  const first = slash === -1 ? '' : name.slice(0, slash);
  const hasHost = first.includes('.') || first.includes(':') || first === 'localhost';
  const path = hasHost ? name.slice(slash + 1) : slash === -1 ? `library/${name}` : name;
  const colon = path.indexOf(':', path.lastIndexOf('/') + 1);
  const repositoryName = colon === -1 ? path : path.slice(0, colon);
  const reference = wanted ?? (colon === -1 ? 'latest' : path.slice(colon + 1));
  const registry = hasHost ? first : hub.name;
  if (!host.test(registry) || !repository.test(repositoryName) || repositoryName.length > 255)
    return undefined;
  if (wanted === undefined && !tag.test(reference)) return undefined;
  const isHub = registry === hub.name || registry === `index.${hub.name}`;
  return { registry, host: isHub ? hub.host : registry, repository: repositoryName, reference };
}
