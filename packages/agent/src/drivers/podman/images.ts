import type { Logger } from '@selvedge/api';
import { normalizeImage } from './container-spec.ts';
import { allContainers, type DesiredApp } from './desired-app.ts';
import { isDiskFull, type LibpodClient, LibpodError } from './libpod-client.ts';
import type { Container } from './manifest-model.ts';

/** An image could not be had. */
export class ImagePullError extends Error {
  override readonly name = 'ImagePullError';
  /** The registry answered, and its answer will hardly change by asking again. */
  readonly isLasting: boolean;

  constructor(message: string, options: { isLasting: boolean; cause?: unknown }) {
    super(message, { cause: options.cause });
    this.isLasting = options.isLasting;
  }
}

interface RegistryCredentials {
  username: string;
  password: string;
}

/** Brings images to this machine's store. */
export class ImageStore {
  readonly #client: LibpodClient;
  readonly #insecureRegistries: ReadonlySet<string>;
  readonly #logger: Logger;

  constructor(client: LibpodClient, options: { insecureRegistries: readonly string[]; logger: Logger }) {
    this.#client = client;
    this.#insecureRegistries = new Set(options.insecureRegistries);
    this.#logger = options.logger;
  }

  async has(image: string): Promise<boolean> {
    const found = await this.#client.find({ path: `/images/${encodeURI(normalizeImage(image))}/json` });
    return found !== undefined;
  }

  /**
   * Has every image of an application here. With `isFirst` as the pull policies say; later only what is missing is
   * fetched: what runs does not change under a release. Throws ImagePullError.
   */
  async ensure(app: DesiredApp, options: { isFirst: boolean; signal: AbortSignal }): Promise<void> {
    for (const workload of app.workloads) {
      const { spec } = workload.template;
      for (const container of allContainers(spec)) {
        const image = normalizeImage(container.image);
        const isHere = await this.has(image);
        if (isHere && !(options.isFirst && pullPolicy(container) === 'Always')) continue;
        if (pullPolicy(container) === 'Never') {
          throw new ImagePullError(`image ${image} is not on this machine and imagePullPolicy is Never`, {
            isLasting: true,
          });
        }
        const names = (spec.imagePullSecrets ?? []).map((s) => `${workload.namespace}/${s.name}`);
        const secrets = names.map((name) => app.data.secrets.get(name)).filter((s) => s !== undefined);
        await this.#pull(image, findCredentials(image, secrets), options.signal);
      }
    }
  }

  async #pull(
    image: string,
    credentials: RegistryCredentials | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    this.#logger.info('pulling image', { image });
    const tlsVerify = !this.#insecureRegistries.has(registryOf(image));
    const auth = credentials && Buffer.from(JSON.stringify(credentials)).toString('base64url');
    const answers = this.#client.stream<{ error?: string }>({
      method: 'POST',
      path: '/images/pull',
      query: { reference: image, tlsVerify, quiet: true, policy: 'always' },
      ...(auth === undefined ? {} : { headers: { 'x-registry-auth': auth } }),
      signal,
    });
    try {
      for await (const { error } of answers) if (error !== undefined) throw new LibpodError(500, error);
    } catch (error) {
      if (isDiskFull(error) || !(error instanceof LibpodError) || error.code === 0) throw error;
      const reason = error.message.replaceAll(/\s+/g, ' ').slice(0, 400);
      throw new ImagePullError(`image ${image} cannot be pulled: ${reason}`, {
        isLasting: isAnswer(reason),
        cause: error,
      });
    }
  }
}

function pullPolicy({ image, imagePullPolicy }: Container): NonNullable<Container['imagePullPolicy']> {
  if (imagePullPolicy) return imagePullPolicy;
  const full = normalizeImage(image);
  return full.endsWith(':latest') && !full.includes('@') ? 'Always' : 'IfNotPresent';
}

/** The registry was reached and said no; anything else is trouble on the way. */
function isAnswer(reason: string): boolean {
  return /manifest unknown|name unknown|not found|unauthorized|authentication required|denied|invalid reference|no image found|does not exist/i.test(
    reason,
  );
}

export function registryOf(image: string): string {
  return normalizeImage(image).split('/')[0] ?? '';
}

/** From Secrets of type kubernetes.io/dockerconfigjson. */
function findCredentials(
  image: string,
  secrets: readonly ReadonlyMap<string, Buffer>[],
): RegistryCredentials | undefined {
  for (const secret of secrets) {
    const text = secret.get('.dockerconfigjson')?.toString('utf8');
    const found = text === undefined ? undefined : readDockerConfig(text, registryOf(image));
    if (found) return found;
  }
  return undefined;
}

function readDockerConfig(text: string, registry: string): RegistryCredentials | undefined {
  let config: { auths?: Record<string, { username?: string; password?: string; auth?: string }> };
  try {
    config = JSON.parse(text) as typeof config;
  } catch {
    return undefined;
  }
  const strip = (name: string) => name.replace(/^https?:\/\//, '').replace(/\/.*$/, '');
  const entry = Object.entries(config.auths ?? {}).find(([name]) => strip(name) === registry)?.[1];
  if (!entry) return undefined;
  const [user = '', ...rest] = Buffer.from(entry.auth ?? '', 'base64')
    .toString('utf8')
    .split(':');
  return { username: entry.username ?? user, password: entry.password ?? rest.join(':') };
}
