import type { Logger } from '@selvedge/api';
import { normalizeImage } from './container-spec.ts';
import { allContainers, type DesiredApp } from './desired-app.ts';
import type { ImageSpace } from './image-space.ts';
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

/** An image in this machine's store. */
export interface LocalImage {
  /** Full name, as it was asked for. */
  readonly name: string;
  readonly id: string;
  readonly sizeBytes: number;
  /** Who its programs run as by themselves; '' is root. */
  readonly user: string;
}

export interface GatherOptions {
  /** Without it only what is here counts. */
  readonly mayFetch: boolean;
  /** This release had the image before: what is here under the name is as good, whatever the pull policy says. */
  readonly isSettled: (image: string) => boolean;
  readonly onProgress?: (progress: { done: number; total: number }) => void;
  readonly signal: AbortSignal;
}

interface WantedImage {
  readonly name: string;
  readonly policy: PullPolicy;
  readonly credentials: RegistryCredentials | undefined;
}

type PullPolicy = NonNullable<Container['imagePullPolicy']>;

/** Brings images to this machine's store. */
export class ImageStore {
  readonly #client: LibpodClient;
  readonly #insecureRegistries: ReadonlySet<string>;
  readonly #space: ImageSpace;
  readonly #logger: Logger;

  constructor(
    client: LibpodClient,
    options: { insecureRegistries: readonly string[]; space: ImageSpace; logger: Logger },
  ) {
    this.#client = client;
    this.#insecureRegistries = new Set(options.insecureRegistries);
    this.#space = options.space;
    this.#logger = options.logger;
  }

  async has(image: string): Promise<boolean> {
    return (await this.find(image)) !== undefined;
  }

  /** Throws ImagePullError when what is here under a name with a digest is something else. */
  async find(image: string): Promise<LocalImage | undefined> {
    const name = normalizeImage(image);
    const found = await this.#client.find<InspectedImage>({ path: `/images/${encodeURI(name)}/json` });
    if (!found) return undefined;
    assertDigest(name, found);
    this.#space.learn(name, found.Size);
    return { name, id: found.Id, sizeBytes: found.Size, user: found.Config?.User ?? '' };
  }

  /** Has every image of an application here that is in force: only what is missing is fetched. */
  async ensure(app: DesiredApp, signal: AbortSignal): Promise<void> {
    await this.gather(app, { mayFetch: true, isSettled: () => true, signal });
  }

  /**
   * Has every image of an application here, as the pull policies say. Undefined when some would have to be fetched and may not
   * be. Throws ImagePullError, InsufficientSpaceError.
   */
  async gather(app: DesiredApp, options: GatherOptions): Promise<LocalImage[] | undefined> {
    const wanted = wantedImages(app);
    const here: LocalImage[] = [];
    for (const image of wanted) {
      const found = await this.#gatherOne(image, options);
      if (found) here.push(found);
      options.onProgress?.({ done: here.length, total: wanted.length });
    }
    return here.length === wanted.length ? here : undefined;
  }

  async #gatherOne(image: WantedImage, options: GatherOptions): Promise<LocalImage | undefined> {
    const { name, policy } = image;
    const found = await this.find(name);
    if (found && (policy !== 'Always' || options.isSettled(name))) return found;
    if (policy === 'Never') {
      throw new ImagePullError(`image ${name} is not on this machine and imagePullPolicy is Never`, {
        isLasting: true,
      });
    }
    if (!options.mayFetch) return undefined;
    if (!found) await this.#space.assertRoomFor(name);
    await this.#pull(name, image.credentials, options.signal);
    const fetched = await this.find(name);
    if (fetched) return fetched;
    throw new ImagePullError(`image ${name} was fetched, and is gone again`, { isLasting: false });
  }

  async #pull(
    image: string,
    credentials: RegistryCredentials | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    this.#logger.info('pulling image', { image });
    const tlsVerify = !this.#insecureRegistries.has(registryOf(image));
    const auth = credentials && Buffer.from(JSON.stringify(credentials)).toString('base64url');
    const guard = this.#space.guard(image, signal);
    const answers = this.#client.stream<{ error?: string }>({
      method: 'POST',
      path: '/images/pull',
      query: { reference: image, tlsVerify, quiet: true, policy: 'always' },
      ...(auth === undefined ? {} : { headers: { 'x-registry-auth': auth } }),
      // Podman gives up a pull, and what it has fetched of it, when nobody listens any more.
      signal: guard.signal,
    });
    try {
      for await (const { error } of answers) if (error !== undefined) throw new LibpodError(500, error);
      guard.signal.throwIfAborted();
    } catch (error) {
      guard.signal.throwIfAborted();
      if (isDiskFull(error) || !(error instanceof LibpodError) || error.code === 0) throw error;
      const reason = error.message.replaceAll(/\s+/g, ' ').slice(0, 400);
      throw new ImagePullError(`image ${image} cannot be pulled: ${reason}`, {
        isLasting: isAnswer(reason),
        cause: error,
      });
    } finally {
      guard.end();
    }
  }
}

interface InspectedImage {
  Id: string;
  Size: number;
  Digest?: string;
  RepoDigests?: string[] | null;
  Config?: { User?: string };
}

/** Podman verifies what it fetches; what was loaded by hand may have any name. */
function assertDigest(name: string, { Digest: digest, RepoDigests: repoDigests }: InspectedImage): void {
  const wanted = name.split('@')[1];
  if (wanted === undefined || digest === wanted) return;
  if (repoDigests?.some((one) => one.endsWith(`@${wanted}`))) return;
  throw new ImagePullError(`image ${name} of this machine has digest ${digest ?? 'unknown'}; remove it`, {
    isLasting: true,
  });
}

/** Each image once; a container that wants it fetched anew decides. */
function wantedImages(app: DesiredApp): WantedImage[] {
  const wanted = new Map<string, WantedImage>();
  for (const workload of app.workloads) {
    const { spec } = workload.template;
    const names = (spec.imagePullSecrets ?? []).map((s) => `${workload.namespace}/${s.name}`);
    const secrets = names.map((name) => app.data.secrets.get(name)).filter((s) => s !== undefined);
    for (const container of allContainers(spec)) {
      const name = normalizeImage(container.image);
      const before = wanted.get(name);
      const policy = pullPolicy(container);
      wanted.set(name, {
        name,
        policy: before && policyRank[before.policy] > policyRank[policy] ? before.policy : policy,
        credentials: before?.credentials ?? findCredentials(name, secrets),
      });
    }
  }
  return [...wanted.values()];
}

const policyRank: Record<PullPolicy, number> = { Never: 0, IfNotPresent: 1, Always: 2 };

function pullPolicy({ image, imagePullPolicy }: Container): PullPolicy {
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
