import {
  findForRepository,
  imageRepository,
  isObject,
  type ItemReport,
  type KubeObject,
  type Logger,
  readDockerConfig,
} from '@selvedge/api';
import { type Depot, DepotError, type DepotRequest } from '../../depot/depot.ts';
import { ApplyError } from './apply/apply-problem.ts';

export interface ReleaseImagesOptions {
  readonly depot: Depot;
  /** Of the cluster's nodes, as OCI names them; empty: not known. */
  readonly architectures: readonly string[];
  /** Of the application. */
  readonly namespace: string;
  /** The Secret of RegistryCredentials: the depot has their logins by itself, and fresher. */
  readonly pullSecret: string;
  readonly mayFetch: boolean;
  readonly onProgress: (progress: NonNullable<ItemReport['progress']>) => void;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

export interface ImageToBring {
  readonly image: string;
  /** Of the pods' own imagePullSecrets. */
  readonly login?: NonNullable<DepotRequest['login']>;
}

/**
 * Brings the images of a release into the site's depot, so that its nodes have them when it takes over. False: some are missing and may not be fetched
 * now. What a registry refuses the depot or does not know is left to the nodes, which may have logins and mirrors of their own. Throws
 * ApplyError.
 */
export async function bringImages(
  objects: readonly KubeObject[],
  options: ReleaseImagesOptions,
): Promise<boolean> {
  const { depot, architectures, namespace, mayFetch, onProgress, signal } = options;
  const images = imagesToBring(objects, { namespace, pullSecret: options.pullSecret });
  const total = images.length;
  let done = 0;
  for (const { image, login } of images) {
    onProgress({ done, total });
    const counts = { done, total };
    try {
      const kept = await depot.ensure(image, {
        mayFetch,
        namespace,
        login,
        ...(architectures.length === 0 ? {} : { architectures }),
        onProgress: ({ doneAt, ...bytes }) =>
          onProgress({
            ...counts,
            ...bytes,
            image,
            ...(doneAt === undefined ? {} : { doneAt: doneAt.toISOString() }),
          }),
        signal,
      });
      if (kept === undefined) continue;
    } catch (error) {
      if (!(error instanceof DepotError)) throw error;
      if (error.reason !== 'Denied' && error.reason !== 'NotFound') throw applyErrorOf(image, error);
      const { message } = error;
      options.logger.warn('an image cannot be brought into the depot: the nodes try by themselves', {
        image,
        error: message,
      });
    }
    done += 1;
  }
  onProgress({ done, total });
  return done === total;
}

function applyErrorOf(image: string, error: DepotError): ApplyError {
  const reason = error.reason === 'StorageFull' ? 'InsufficientSpace' : 'ImagePullFailed';
  return new ApplyError(reason, `image ${image} cannot be fetched: ${error.message}`, {
    isLasting: error.isLasting,
    cause: error,
  });
}

/** Those that containers run, each once; nodes that are to have one by themselves (`Never`) have it already. */
export function imagesToBring(
  objects: readonly KubeObject[],
  { namespace, pullSecret }: Pick<ReleaseImagesOptions, 'namespace' | 'pullSecret'>,
): ImageToBring[] {
  const logins = pullLogins(objects, namespace);
  const images = new Map<string, ImageToBring>();
  const add = (image: string, secrets: readonly string[]): void => {
    if (images.get(image)?.login !== undefined) return;
    const known = secrets.flatMap((secret) => logins.get(secret) ?? []);
    const login = findForRepository(known, imageRepository(image) ?? image, ({ registry }) => registry);
    const { username, password } = login ?? {};
    const isLogin = username !== undefined && password !== undefined;
    images.set(image, { image, ...(isLogin ? { login: { username, password } } : {}) });
  };
  const look = (value: unknown, place: string): void => {
    if (Array.isArray(value)) for (const one of value) look(one, place);
    if (!isObject(value)) return;
    const secrets = namesIn(value['imagePullSecrets']).filter((name) => name !== pullSecret);
    for (const [key, field] of Object.entries(value)) {
      if (key === 'containers' || key === 'initContainers') {
        for (const image of imagesOf(field))
          add(
            image,
            secrets.map((name) => `${place}/${name}`),
          );
      }
      look(field, place);
    }
  };
  for (const object of objects) look(object, object.metadata.namespace ?? namespace);
  return [...images.values()].sort((a, b) => (a.image < b.image ? -1 : 1));
}

/** Of Secrets of the release for registries, by namespace and name. */
function pullLogins(
  objects: readonly KubeObject[],
  defaultNamespace: string,
): ReadonlyMap<string, NonNullable<ReturnType<typeof readDockerConfig>>> {
  const found = new Map<string, NonNullable<ReturnType<typeof readDockerConfig>>>();
  for (const { kind, metadata, ...object } of objects) {
    const { data } = object as { data?: unknown };
    const encoded = kind === 'Secret' && isObject(data) ? data['.dockerconfigjson'] : undefined;
    if (typeof encoded !== 'string') continue;
    const logins = readDockerConfig(Buffer.from(encoded, 'base64').toString('utf8'));
    if (logins !== undefined) found.set(`${metadata.namespace ?? defaultNamespace}/${metadata.name}`, logins);
  }
  return found;
}

function namesIn(references: unknown): string[] {
  if (!Array.isArray(references)) return [];
  return references.flatMap((one) => (isObject(one) && typeof one['name'] === 'string' ? [one['name']] : []));
}

function imagesOf(containers: unknown): string[] {
  if (!Array.isArray(containers)) return [];
  return containers.flatMap((container) => {
    if (!isObject(container) || container['imagePullPolicy'] === 'Never') return [];
    const { image } = container as { image?: unknown };
    return typeof image === 'string' && image !== '' ? [image] : [];
  });
}
