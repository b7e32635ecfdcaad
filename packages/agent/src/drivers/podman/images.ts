import {
  findForRepository,
  imageRepository,
  type ItemReport,
  type Logger,
  parseImageReference,
  readDockerConfig,
} from '@selvedge/api';
import type { SiteLogins } from '../../credentials/site-logins.ts';
import { type Depot, DepotError, type DepotImage } from '../../depot/depot.ts';
import { normalizeImage } from './container-spec.ts';
import { allContainers, type DesiredApp } from './desired-app.ts';
import { type ImageSpace, InsufficientSpaceError } from './image-space.ts';
import { isDiskFull, type LibpodClient, LibpodError } from './libpod-client.ts';
import type { Container } from './manifest-model.ts';

/** An image could not be had. */
export class ImagePullError extends Error {
  override readonly name = 'ImagePullError';
  /** The registry answered, and its answer will hardly change by asking again. */
  readonly isLasting: boolean;
  /** It was asked without a login and refused. */
  readonly wantsLogin: boolean;

  constructor(message: string, options: { isLasting: boolean; wantsLogin?: boolean; cause?: unknown }) {
    super(message, { cause: options.cause });
    this.isLasting = options.isLasting;
    this.wantsLogin = options.wantsLogin ?? false;
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
  readonly onProgress?: (progress: NonNullable<ItemReport['progress']>) => void;
  readonly signal: AbortSignal;
}

interface WantedImage {
  readonly name: string;
  /** Of the Application: RegistryCredentials of it open the image, where its pods name no secret. */
  readonly namespace: string;
  readonly policy: PullPolicy;
  readonly credentials: RegistryCredentials | undefined;
}

type PullPolicy = NonNullable<Container['imagePullPolicy']>;

/** Brings images to this machine's store. */
export class ImageStore {
  readonly #client: LibpodClient;
  readonly #insecureRegistries: ReadonlySet<string>;
  readonly #space: ImageSpace;
  readonly #depot: Depot | undefined;
  readonly #logins: SiteLogins | undefined;
  readonly #logger: Logger;

  constructor(
    client: LibpodClient,
    options: {
      insecureRegistries: readonly string[];
      space: ImageSpace;
      /** Absent: Podman itself fetches from the registries. */
      depot?: Depot | undefined;
      /** Without a depot: logins that the hub gave the site. */
      logins?: SiteLogins | undefined;
      logger: Logger;
    },
  ) {
    this.#client = client;
    this.#insecureRegistries = new Set(options.insecureRegistries);
    this.#space = options.space;
    this.#depot = options.depot;
    this.#logins = options.logins;
    this.#logger = options.logger;
  }

  async has(image: string): Promise<boolean> {
    return (await this.find(image)) !== undefined;
  }

  /** Throws ImagePullError when what is here under a name with a digest is something else. */
  async find(image: string): Promise<LocalImage | undefined> {
    const name = normalizeImage(image);
    const found = await this.#inspect(name);
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
      const counts = () => ({ done: here.length, total: wanted.length });
      const found = await this.#gatherOne(image, options, (bytes) =>
        options.onProgress?.({ ...counts(), ...bytes }),
      );
      if (found) here.push(found);
      options.onProgress?.(counts());
    }
    return here.length === wanted.length ? here : undefined;
  }

  async #gatherOne(
    image: WantedImage,
    options: GatherOptions,
    onBytes: (bytes: ImageBytes) => void,
  ): Promise<LocalImage | undefined> {
    const { name, policy } = image;
    const found = await this.find(name);
    if (found && (policy !== 'Always' || options.isSettled(name))) return found;
    if (policy === 'Never') {
      throw new ImagePullError(`image ${name} is not on this machine and imagePullPolicy is Never`, {
        isLasting: true,
      });
    }
    if (this.#depot === undefined) {
      if (!options.mayFetch) return undefined;
      if (!found) await this.#space.assertRoomFor(name);
      await this.#pullWithLogin(image, options.signal);
    } else {
      const kept = await this.#bring(this.#depot, image, { ...options, onBytes });
      if (kept === undefined) return undefined;
      if (found && (await this.#isOf(kept))) return found;
      if (!found) await this.#space.assertRoomFor(name);
      await this.#takeFrom(this.#depot, kept, options.signal);
    }
    const fetched = await this.find(name);
    if (fetched) return fetched;
    throw new ImagePullError(`image ${name} was fetched, and is gone again`, { isLasting: false });
  }

  /** Has the image in the site's depot. */
  async #bring(
    depot: Depot,
    { name, namespace, policy, credentials }: WantedImage,
    { mayFetch, isSettled, signal, onBytes }: GatherOptions & { onBytes: (bytes: ImageBytes) => void },
  ): Promise<DepotImage | undefined> {
    try {
      return await depot.ensure(name, {
        mayFetch,
        namespace,
        login: credentials,
        // A release that had it before goes on with what it had, also when its registry is there.
        isFresh: policy === 'Always' && !isSettled(name),
        onProgress: ({ doneAt, ...bytes }) =>
          onBytes({
            ...bytes,
            image: name,
            ...(doneAt === undefined ? {} : { doneAt: doneAt.toISOString() }),
          }),
        signal,
      });
    } catch (error) {
      if (!(error instanceof DepotError)) throw error;
      if (error.reason === 'StorageFull') throw new InsufficientSpaceError(error.message, { cause: error });
      const message = `image ${name} cannot be fetched: ${error.message}`;
      const { isLasting, wantsLogin } = error;
      throw new ImagePullError(message, { isLasting, wantsLogin, cause: error });
    }
  }

  /** What Podman has under the name is what the depot has. */
  async #isOf({ name, digest }: DepotImage): Promise<boolean> {
    const image = await this.#inspect(name);
    return image !== undefined && digestsOf(image).has(digest);
  }

  async #inspect(name: string): Promise<InspectedImage | undefined> {
    return await this.#client.find<InspectedImage>({ path: `/images/${encodeURI(name)}/json` });
  }

  /** From the depot into Podman's store, under the name that manifests have for it. */
  async #takeFrom(depot: Depot, { name, pullReference }: DepotImage, signal: AbortSignal): Promise<void> {
    try {
      await this.#pull({ image: name, reference: pullReference, credentials: undefined }, signal);
    } catch (error) {
      if (!(error instanceof ImagePullError) || !(await depot.doubt(name))) throw error;
      const message = `image ${name} was damaged in the depot of this site; it is fetched again`;
      throw new ImagePullError(message, { isLasting: false, cause: error });
    }
    const path = `/images/${encodeURI(pullReference)}`;
    await this.#client.call({ method: 'POST', path: `${path}/tag`, query: localTag(name) });
    // Takes only this name away; the port in it is another one after each start of the agent.
    await this.#client.call({ method: 'DELETE', path }).catch((error: unknown) => {
      this.#logger.debug('a name of an image could not be removed', { image: pullReference, error });
    });
  }

  /** By the pods' own secrets, else by what the hub gave the site; a login that the registry refuses is asked for anew, once. */
  async #pullWithLogin({ name, namespace, credentials }: WantedImage, signal: AbortSignal): Promise<void> {
    const find = (isRefused: boolean) =>
      this.#logins?.find({ namespace, repository: imageRepository(name) ?? name, isRefused, signal });
    const pull = (login: RegistryCredentials | undefined) =>
      this.#pull({ image: name, reference: name, credentials: login }, signal);
    const login = credentials ?? (await find(false));
    try {
      await pull(login);
    } catch (error) {
      const isRefused = error instanceof ImagePullError && isRefusal(error.message);
      if (!isRefused || login === undefined || credentials !== undefined) throw error;
      const fresh = await find(true);
      if (fresh === undefined || fresh.password === login.password) throw error;
      await pull(fresh);
    }
  }

  /** @param wanted.image name for people. @param wanted.reference where it is pulled from. */
  async #pull(
    wanted: { image: string; reference: string; credentials: RegistryCredentials | undefined },
    signal: AbortSignal,
  ): Promise<void> {
    const { image, reference, credentials } = wanted;
    this.#logger.info('pulling image', { image });
    const isOwn = reference !== image;
    const tlsVerify = !isOwn && !this.#insecureRegistries.has(registryOf(reference));
    const auth = credentials && Buffer.from(JSON.stringify(credentials)).toString('base64url');
    const guard = this.#space.guard(image, signal);
    const answers = this.#client.stream<{ error?: string }>({
      method: 'POST',
      path: '/images/pull',
      query: { reference, tlsVerify, quiet: true, policy: 'always' },
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
        wantsLogin: credentials === undefined && isRefusal(reason),
        cause: error,
      });
    } finally {
      guard.end();
    }
  }
}

type ImageBytes = Pick<NonNullable<ItemReport['progress']>, 'doneBytes' | 'totalBytes' | 'image' | 'doneAt'>;

/**
 * The tag under which Podman keeps an image. It finds one with a digest by its repository and that digest as long as it has any tag there: each
 * digest has its own, as one that moves to the next image would leave this one without a name.
 */
function localTag(name: string): { repo: string; tag: string } {
  const { registry, repository, tag = 'latest', digest } = parseImageReference(name) ?? {};
  const ownTag =
    digest === undefined ? tag : `selvedge-${digest.slice('sha256:'.length, 'sha256:'.length + 24)}`;
  return { repo: `${registry}/${repository}`, tag: ownTag };
}

interface InspectedImage {
  Id: string;
  Size: number;
  Digest?: string;
  RepoDigests?: string[] | null;
  Config?: { User?: string };
}

/** Podman verifies what it fetches; what was loaded by hand may have any name. */
function assertDigest(name: string, image: InspectedImage): void {
  const wanted = name.split('@')[1];
  if (wanted === undefined || digestsOf(image).has(wanted)) return;
  throw new ImagePullError(
    `image ${name} of this machine has digest ${image.Digest ?? 'unknown'}; remove it`,
    {
      isLasting: true,
    },
  );
}

function digestsOf({ Digest: digest, RepoDigests: repoDigests }: InspectedImage): ReadonlySet<string> {
  const others = (repoDigests ?? []).map((one) => one.slice(one.indexOf('@') + 1));
  return new Set([...(digest === undefined ? [] : [digest]), ...others]);
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
        namespace: app.namespace,
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

/** Of the login, as far as can be told from Podman's words. */
function isRefusal(reason: string): boolean {
  return /unauthorized|authentication required|denied/i.test(reason);
}

export function registryOf(image: string): string {
  return normalizeImage(image).split('/')[0] ?? '';
}

/** From Secrets of type kubernetes.io/dockerconfigjson. */
function findCredentials(
  image: string,
  secrets: readonly ReadonlyMap<string, Buffer>[],
): RegistryCredentials | undefined {
  const repository = imageRepository(image) ?? image;
  for (const secret of secrets) {
    const text = secret.get('.dockerconfigjson')?.toString('utf8');
    const logins = (text === undefined ? undefined : readDockerConfig(text)) ?? [];
    const found = findForRepository(logins, repository, ({ registry }) => registry);
    if (found) return { username: found.username, password: found.password };
  }
  return undefined;
}
