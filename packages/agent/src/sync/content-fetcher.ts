import { isStatusError, type Logger, StatusError } from '@selvedge/api';
import {
  availableDictionary,
  type ContentEncoding,
  decodeContent,
  sha256Digest,
  withDeltaHeader,
} from '@selvedge/api/node';
import { ContactError } from '../hub-connection/contact-error.ts';
import type { BlobForm, HubApi } from '../hub-connection/hub-api.ts';
import type { HubClock } from '../hub-connection/hub-clock.ts';
import { isStorageFull } from '../state/agent-database.ts';
import type { ContentStore } from '../state/content-store.ts';
import { BackOff } from './back-off.ts';
import type { OfferedState } from './merge-state.ts';
import type { SiteWork } from './site-work.ts';
import { WakeUp } from './wake-up.ts';

/** Larger content is refused: manifests are at most a few MB. */
export const longestContentBytes = 64 * 1024 * 1024;

export interface ContentFetcherOptions {
  readonly api: HubApi;
  readonly content: ContentStore;
  readonly work: SiteWork;
  readonly clock: HubClock;
  readonly logger: Logger;
  readonly backOff?: BackOff;
}

/**
 * Fetches the content that the accepted state names and that is not here. Level-based: `wake` when the state changed, then it looks
 * anew at what is missing. A fetch that was cut off goes on where it was (parts are kept in memory only: they may
 * hold Secrets); one that a newer state no longer needs is dropped.
 */
export class ContentFetcher {
  readonly #options: ContentFetcherOptions;
  readonly #backOff: BackOff;
  readonly #changed = new WakeUp();
  #part: Part | undefined;
  /** Could not be undone as it came: asked for as it is. */
  readonly #asItIs = new Set<string>();
  /** In the last round: others are new. */
  #tried: ReadonlySet<string> = new Set();
  #fetching: { digest: string; controller: AbortController } | undefined;

  constructor(options: ContentFetcherOptions) {
    this.#options = options;
    this.#backOff = options.backOff ?? new BackOff();
  }

  /** The accepted state changed, or the hub is back. */
  wake(): void {
    this.#backOff.reset();
    const missing = this.#options.work.contentToFetch();
    if (this.#fetching !== undefined && !missing.includes(this.#fetching.digest)) {
      this.#fetching.controller.abort();
    }
    this.#changed.ring();
  }

  /** What may be fetched changed by itself: a window opened or closed, a release was taken back. */
  reconsider(): void {
    const wanted = this.#options.work.contentToFetch();
    this.#tried = new Set(wanted.filter((digest) => this.#tried.has(digest)));
    if (this.#fetching !== undefined) {
      if (!wanted.includes(this.#fetching.digest)) this.#fetching.controller.abort();
    } else if (wanted.some((digest) => !this.#tried.has(digest))) {
      this.#changed.ring();
    }
  }

  /** Content that came with a state as a difference; what cannot be used is fetched when the state is accepted. */
  async takeDeltas({ contents = [], items }: OfferedState): Promise<void> {
    const { content, logger } = this.#options;
    for (const { digest, zstd } of contents) {
      const dictionary = items.find((item) => item.digest === digest)?.terms.fallback?.digest;
      if (dictionary === undefined || content.has(digest)) continue;
      const known = content.find(dictionary);
      if (known === undefined) continue;
      try {
        const bytes = await decodeContent(withDeltaHeader(Buffer.from(zstd, 'base64'), dictionary), {
          encoding: 'dcz',
          dictionary: { digest: dictionary, bytes: known },
          maxBytes: longestContentBytes,
        });
        content.put(digest, bytes);
      } catch (error) {
        logger.debug('content that came with the state cannot be used', { digest, error });
      }
    }
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const failed = await this.#fetchMissing(signal);
      if (signal.aborted) return;
      const rest = new AbortController();
      const waits = [this.#changed.wait(AbortSignal.any([signal, rest.signal]))];
      if (failed) {
        waits.push(this.#options.clock.sleep(this.#backOff.nextMs(), AbortSignal.any([signal, rest.signal])));
      }
      await Promise.race(waits);
      rest.abort();
    }
  }

  /** One try for each; whether any failed. */
  async #fetchMissing(signal: AbortSignal): Promise<boolean> {
    const { work, logger } = this.#options;
    let failed = false;
    const wanted = work.contentToFetch();
    this.#tried = new Set(wanted);
    for (const digest of wanted) {
      if (signal.aborted || !work.contentToFetch().includes(digest)) continue;
      const isDone = new AbortController();
      void this.#tellWhenSlow(digest, AbortSignal.any([signal, isDone.signal]));
      try {
        await this.#fetch(digest, signal);
        work.contentArrived(digest);
      } catch (error) {
        if (signal.aborted) return true;
        if (this.#wasSuperseded(digest)) continue;
        failed = true;
        const trouble = describeTrouble(digest, error);
        logger.warn('content could not be fetched', { digest, error: trouble.message });
        work.contentDelayed(digest, trouble);
      } finally {
        isDone.abort();
      }
    }
    return failed;
  }

  async #tellWhenSlow(digest: string, signal: AbortSignal): Promise<void> {
    await this.#options.clock.sleep(slowMs, signal);
    if (signal.aborted || this.#wasSuperseded(digest)) return;
    this.#options.work.contentDelayed(digest, {
      reason: 'FetchingContent',
      message: `the manifests (${digest}) are being fetched`,
    });
  }

  async #fetch(digest: string, signal: AbortSignal): Promise<void> {
    const controller = new AbortController();
    this.#fetching = { digest, controller };
    try {
      const part = this.#part?.digest === digest ? this.#part : this.#beginPart(digest);
      this.#part = part;
      await this.#download(part, AbortSignal.any([signal, controller.signal]));
      const bytes = await this.#decode(part);
      this.#part = undefined;
      if (sha256Digest(bytes) !== digest) {
        throw new StatusError('BadRequest', `what the hub sent as ${digest} is something else`);
      }
      this.#asItIs.delete(digest);
      try {
        this.#options.content.put(digest, bytes);
      } catch (error) {
        // Not fetched again for that: the link may be dear.
        if (isStorageFull(error)) this.#part = { digest, chunks: [bytes], length: bytes.length };
        throw error;
      }
    } finally {
      this.#fetching = undefined;
    }
  }

  #beginPart(digest: string): Part {
    const { work, content } = this.#options;
    const dictionary = this.#asItIs.has(digest) ? undefined : work.findDictionary(digest);
    const isHere = dictionary !== undefined && content.has(dictionary);
    return { digest, chunks: [], length: 0, ...(isHere ? { dictionary } : {}) };
  }

  /** Throws when what came is no form of the content; it is asked for as it is the next time. */
  async #decode(part: Part): Promise<Buffer> {
    const bytes = Buffer.concat(part.chunks);
    const encoding = part.form?.encoding;
    if (encoding === undefined) return bytes;
    try {
      if (!isKnownEncoding(encoding)) throw new Error(`it came with the encoding "${encoding}"`);
      const digest = encoding === 'dcz' ? part.dictionary : undefined;
      const dictionary = digest === undefined ? undefined : this.#options.content.find(digest);
      const decoded = await decodeContent(bytes, {
        encoding,
        dictionary: dictionary && { digest: digest as string, bytes: dictionary },
        maxBytes: longestContentBytes,
      });
      if (sha256Digest(decoded) === part.digest) return decoded;
      throw new Error('it is something else');
    } catch (cause) {
      this.#part = undefined;
      this.#asItIs.add(part.digest);
      this.#options.logger.warn('compressed content cannot be undone; asking for it as it is', {
        digest: part.digest,
        encoding,
        error: cause,
      });
      throw new StatusError(
        'BadRequest',
        `what the hub sent as ${part.digest} cannot be undone: ${(cause as Error).message}`,
        { cause },
      );
    }
  }

  async #download(part: Part, signal: AbortSignal): Promise<void> {
    if (part.length > 0 && part.form === undefined) {
      if (sha256Digest(Buffer.concat(part.chunks)) === part.digest) return;
    }
    const offset = part.length;
    const etag = part.form?.etag;
    let isFirst = true;
    try {
      await this.#options.api.getBlob(part.digest, {
        offset,
        ...(this.#asItIs.has(part.digest) ? {} : { encodings: 'dcz, zstd' }),
        ...(part.dictionary === undefined ? {} : { dictionary: availableDictionary(part.dictionary) }),
        ...(etag === undefined ? {} : { etag }),
        answerTimeoutMs: 30_000,
        maxBytes: longestContentBytes - offset,
        signal,
        onData: (chunk, status, form) => {
          if (isFirst && (status !== 206 || !isSameForm(form, part.form))) restart(part);
          if (isFirst && status === 206 && part.length !== offset) {
            throw new ContactError('answer', 'the hub goes on with other bytes than it began with');
          }
          if (part.length === 0) part.form = form;
          isFirst = false;
          part.chunks.push(chunk);
          part.length += chunk.length;
        },
      });
    } catch (error) {
      // Nothing beyond what is held, or another blob than before: begin anew next time.
      if (error instanceof StatusError && offset > 0) restart(part);
      throw error;
    }
  }

  #wasSuperseded(digest: string): boolean {
    return !this.#options.work.contentToFetch().includes(digest);
  }
}

const slowMs = 2000;

/** What has come so far, as it came. */
interface Part {
  readonly digest: string;
  /** Content that is here, to which the answer may be a difference. */
  readonly dictionary?: string;
  form?: BlobForm;
  readonly chunks: Buffer[];
  length: number;
}

function restart(part: Part): void {
  part.chunks.length = 0;
  part.length = 0;
  delete part.form;
}

/** A hub that names no form sends content as it is. */
function isSameForm(one: BlobForm, other: BlobForm | undefined): boolean {
  return one.encoding === other?.encoding && one.etag === other?.etag;
}

function isKnownEncoding(encoding: string): encoding is ContentEncoding {
  return encoding === 'dcz' || encoding === 'zstd';
}

function describeTrouble(digest: string, error: unknown): { reason: string; message: string } {
  if (isStorageFull(error)) {
    return {
      reason: 'StorageFull',
      message: `no space on this machine for the manifests (${digest}); free some space, it goes on by itself`,
    };
  }
  if (isStatusError(error, 'NotFound')) {
    return { reason: 'ContentMissing', message: `the hub does not have the manifests (${digest}) any more` };
  }
  if (error instanceof ContactError) {
    return {
      reason: 'FetchingContent',
      message: `the manifests (${digest}) are still being fetched: ${error.message}`,
    };
  }
  return {
    reason: 'ContentUnavailable',
    message: `the manifests cannot be fetched: ${(error as Error).message}`,
  };
}
