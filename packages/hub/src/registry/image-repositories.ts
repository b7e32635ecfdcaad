import { type ImageReference, isStatusError } from '@selvedge/api';
import type { RegistryLogin, RegistryLogins } from '../credentials/registry-logins.ts';
import type { ImageRepository } from './image-repository.ts';
import { RegistryError } from './registry-error.ts';
import { type NamedRegistries, RemoteRepository } from './remote-repository.ts';

/** The hub's own registry, for the hub itself. */
export interface OwnImages {
  /** Whether `host[:port]` of an image's name is one of this hub's addresses. */
  isOwn(registry: string): boolean;
  /** Throws RegistryError when applications of the namespace may not read it. */
  open(namespace: string, repository: string): ImageRepository;
}

export interface ImageRepositoriesOptions {
  /** `host[:port]` of registries that speak http, and may be at any address. */
  readonly insecureRegistries: readonly string[];
  /** `host[:port]` of registries that speak https, and may be at any address. */
  readonly privateRegistries: readonly string[];
  /** Absent: every registry is asked as nobody in particular. */
  readonly logins?: RegistryLogins | undefined;
  readonly own?: OwnImages | undefined;
}

export interface RepositorySettings {
  /** Counts before what RegistryCredentials say. */
  readonly login?: RegistryLogin | undefined;
  /** Name of the RegistryCredential in the namespace; default: the one that names the registry. */
  readonly credential?: string | undefined;
  /** For a document, and for the head of what is streamed. Default: 5 s. */
  readonly answerMilliseconds?: number;
}

/** Where the hub reads images and artifacts, with the logins of the namespace for which it reads. */
export class ImageRepositories {
  readonly #named: NamedRegistries;
  readonly #logins: RegistryLogins | undefined;
  readonly #own: OwnImages | undefined;

  constructor(options: ImageRepositoriesOptions) {
    this.#named = {
      insecure: new Set(options.insecureRegistries),
      private: new Set(options.privateRegistries),
    };
    this.#logins = options.logins;
    this.#own = options.own;
  }

  /**
   * The repository of an image, as applications of the namespace may read it. Nothing is asked yet. Throws RegistryError.
   */
  async open(
    { namespace, image }: { namespace: string; image: ImageReference },
    signal: AbortSignal,
    { login, credential, ...patience }: RepositorySettings = {},
  ): Promise<ImageRepository> {
    if (this.#own?.isOwn(image.registry)) return this.#own.open(namespace, image.repository);
    const found = login ?? (await this.#findLogin({ namespace, image, credential }, signal));
    return new RemoteRepository({ image, named: this.#named, login: found, ...patience });
  }

  async #findLogin(
    {
      namespace,
      image,
      credential,
    }: { namespace: string; image: ImageReference; credential: string | undefined },
    signal: AbortSignal,
  ): Promise<RegistryLogin | undefined> {
    try {
      const repository = `${image.registry}/${image.repository}`;
      if (credential === undefined) return await this.#logins?.find(namespace, repository, signal);
      return await this.#logins?.get({ namespace, name: credential }, repository, signal);
    } catch (error) {
      if (!isStatusError(error)) throw error;
      throw new RegistryError('Denied', error.message, { cause: error });
    }
  }
}
