import { type Clock, type ImageReference, type Logger, parseImageReference } from '@selvedge/api';
import { Limiter } from '../concurrency/limiter.ts';
import type { ImageRepositories } from '../registry/image-repositories.ts';
import { RegistryAllowance } from '../registry/registry-allowance.ts';
import { RegistryError } from '../registry/registry-error.ts';
import type { ImageResolver, ResolvedImage } from './image-resolver.ts';

export interface RegistryImageResolverOptions {
  readonly repositories: Pick<ImageRepositories, 'open'>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Names are looked up by threads that files need too: a DNS server that does not answer must not hold them all. */
const maxAtOnce = 3;
const maxRegistries = 50;
/** For one image, whatever it takes: its registry's name, a token, the digest. */
const imageMilliseconds = 5_000;
/** For all images of one application. */
const totalMilliseconds = 20_000;
/** A registry that could not be asked is not asked again for so long. */
const unreachableMilliseconds = 60_000;
const maxRemembered = 1_000;

interface Question {
  readonly namespace: string;
  readonly image: string;
  readonly reference: ImageReference;
  readonly signal: AbortSignal;
}

/** Asks the images' registries, each time anew: a tag may have moved. A registry that is out of reach is remembered for a minute. */
export class RegistryImageResolver implements ImageResolver {
  readonly #o: RegistryImageResolverOptions;
  readonly #limiter = new Limiter(maxAtOnce);
  readonly #allowance: RegistryAllowance;
  /** Host → why and until when. */
  readonly #unreachable = new Map<string, { readonly until: number; readonly message: string }>();

  constructor(options: RegistryImageResolverOptions) {
    this.#o = options;
    this.#allowance = new RegistryAllowance(options.clock, maxRegistries);
  }

  async resolve(
    namespace: string,
    images: readonly string[],
    signal: AbortSignal,
  ): Promise<readonly ResolvedImage[]> {
    const limited = AbortSignal.any([signal, AbortSignal.timeout(totalMilliseconds)]);
    const asked = new Map<string, Promise<ResolvedImage>>();
    for (const image of images) {
      if (!asked.has(image)) asked.set(image, this.#resolve(namespace, image, limited));
    }
    const resolved = await Promise.all(asked.values());
    signal.throwIfAborted();
    const byName = new Map(resolved.map((one) => [one.image, one]));
    return images.map((image) => byName.get(image) ?? unknown(image, 'it was not asked for', false));
  }

  async #resolve(namespace: string, image: string, signal: AbortSignal): Promise<ResolvedImage> {
    if (image.includes('${')) return unknown(image, 'its name differs from site to site', true);
    const reference = parseImageReference(image);
    if (reference === undefined) {
      return unknown(image, 'its name is none that a registry could be asked for', true);
    }
    if (reference.digest !== undefined) return { image, resolved: image };
    return this.#limiter.run(() => this.#ask({ namespace, image, reference, signal }));
  }

  async #ask(question: Question): Promise<ResolvedImage> {
    const { image, reference } = question;
    if (question.signal.aborted) return unknown(image, 'the registries took too long', false);
    const known = this.#findUnreachable(reference.host);
    if (known !== undefined) return unknown(image, known, false);
    try {
      const digest = await this.#findDigest(question);
      return { image, resolved: `${image}@${digest}` };
    } catch (error) {
      if (!(error instanceof RegistryError)) throw error;
      const cause = error.cause instanceof Error ? { cause: error.cause.message } : {};
      this.#o.logger.debug('image not resolved', { image, reason: error.message, ...cause });
      if (question.signal.aborted) return unknown(image, 'the registries took too long', false);
      if (error.fault === 'Unavailable') this.#remember(reference.host, error.message);
      return unknown(image, error.message, error.isLasting);
    }
  }

  async #findDigest({ namespace, reference, signal }: Question): Promise<string> {
    this.#allowance.take(reference.host);
    const limited = AbortSignal.any([signal, AbortSignal.timeout(imageMilliseconds)]);
    const repository = await this.#o.repositories.open({ namespace, image: reference }, limited);
    return repository.findDigest(reference.reference, limited);
  }

  #findUnreachable(host: string): string | undefined {
    const known = this.#unreachable.get(host);
    if (known === undefined) return undefined;
    if (known.until > this.#now()) return known.message;
    this.#unreachable.delete(host);
    return undefined;
  }

  #remember(host: string, message: string): void {
    this.#unreachable.delete(host);
    this.#unreachable.set(host, { until: this.#now() + unreachableMilliseconds, message });
    const [oldest] = this.#unreachable.keys();
    if (this.#unreachable.size > maxRemembered && oldest !== undefined) this.#unreachable.delete(oldest);
  }

  #now(): number {
    return this.#o.clock.now().getTime();
  }
}

function unknown(image: string, reason: string, isLasting: boolean): ResolvedImage {
  return { image, unknown: reason, isLasting };
}
