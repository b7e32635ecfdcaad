import {
  type Clock,
  isExpired,
  type KubeObject,
  type Logger,
  type ObjectMeta,
  StatusError,
  statusErrorFromBody,
} from '@selvedge/api';
import type { ApiResource, KubeApi } from '../api/kube-api.ts';
import { pathOf } from '../apply/cluster.ts';

/**
 * `Starting`: not listed yet. `Watching`: what is known holds. `Away`: the API cannot be asked. `Forbidden`: it may not be listed or
 * watched. `Gone`: the API has no such kind (any more).
 */
export type WatchState = 'Starting' | 'Watching' | 'Away' | 'Forbidden' | 'Gone';

export interface KindWatchOptions {
  readonly api: KubeApi;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly apiVersion: string;
  readonly kind: string;
  /** Only in this one; absent: in all. */
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** Whole objects instead of their metadata. */
  readonly whole?: true;
  /** `round` as it was when what tells of it began. */
  readonly onObject: (object: KubeObject, round: number) => void;
  readonly onDeleted: (metadata: ObjectMeta) => void;
  /** All that is there is told anew from here on. */
  readonly onListing?: () => void;
  /** Everything that is there has been told; `round` as it was when the list began. */
  readonly onListed: (round: number) => void;
  readonly onState: (state: WatchState) => void;
}

const pageSize = 500;
/** The server ends a watch then, and we go on where it was; spread, so that watches do not end together. */
const watchSeconds = { shortest: 480, longest: 600 };
/** A server sends bookmarks every minute. One that does is dead when it has been silent for so long. */
const bookmarkSilenceMs = 150_000;
const backoffMs = { first: 1000, longest: 30_000 };
/** Between two tries of what needs somebody to change permissions or define a kind. */
const retryMs = 60_000;
/** A watch that ends sooner than this has told us nothing; without a pause it would be a storm. */
const shortestWatchMs = 2000;
/** A version that is too old twice within this time is answered with the usual pause. */
const expiredAgainMs = 30_000;

/**
 * Follows all objects of one kind: one list, then one watch from there, for ever. Every loss ends in a watch that goes on where the last
 * one was, or in a new list, so nothing is missed. Never rejects.
 */
export class KindWatch {
  /** Counts the calls of `relist`. */
  round = 0;
  /** Counts the lists that were begun. */
  lists = 0;
  state: WatchState = 'Starting';
  /** Why it is `Away` or `Forbidden`, for people. */
  message: string | undefined;
  resource: ApiResource | undefined;
  /** When the server last said anything. */
  heard: Date | undefined;
  readonly #options: KindWatchOptions;
  #version = '';
  #wake = new AbortController();
  #failures = 0;
  #sendsBookmarks = false;
  /** When the server last said that there is no going on from where we were. */
  #expiredAt = Number.NEGATIVE_INFINITY;

  constructor(options: KindWatchOptions) {
    this.#options = options;
  }

  /** What was listed before no longer counts. The round that answers for what is there now. */
  relist(): number {
    this.round += 1;
    this.#wake.abort();
    return this.round;
  }

  async run(stop: AbortSignal): Promise<void> {
    while (!stop.aborted) {
      this.#wake = new AbortController();
      const signal = AbortSignal.any([stop, this.#wake.signal]);
      let pauseMs: number;
      try {
        await this.#follow(signal);
        pauseMs = 0;
      } catch (error) {
        pauseMs = this.#failed(error, signal);
      }
      if (pauseMs > 0) await this.#options.clock.sleep(pauseMs * (0.75 + Math.random() / 2), signal);
    }
  }

  /** Returns when everything has to be listed again. */
  async #follow(signal: AbortSignal): Promise<void> {
    const { api, apiVersion, kind } = this.#options;
    const isLost = this.state === 'Gone' || this.state === 'Starting';
    this.resource = await api.findResource(apiVersion, kind, { refresh: isLost });
    if (!this.resource) throw new StatusError('NotFound', `the cluster has no kind ${kind} in ${apiVersion}`);
    this.#version = await this.#list(this.resource, signal);
    while (!signal.aborted) {
      const began = this.#now();
      try {
        await this.#watch(this.resource, signal);
        this.#failures = 0;
      } catch (error) {
        if (signal.aborted) return;
        // The same watch again from where it was, once: what happened meanwhile comes with it. If that fails too, the API is away, or
        // has been restored from a backup and is behind us for good: a list tells.
        if (isExpired(error) || !isPassing(error) || this.#failures > 0) throw error;
        this.#failures = 1;
        await this.#options.clock.sleep(backoffMs.first * (0.5 + Math.random()), signal);
        continue;
      }
      if (this.#now() - began < shortestWatchMs) await this.#options.clock.sleep(shortestWatchMs, signal);
    }
  }

  async #list(resource: ApiResource, signal: AbortSignal): Promise<string> {
    const { api, labelSelector, fieldSelector, onListed } = this.#options;
    const { round } = this;
    this.lists += 1;
    this.#options.onListing?.();
    let next: string | undefined;
    let version = '';
    do {
      const page: ObjectPage = await api.json<ObjectPage>({
        method: 'GET',
        path: this.#path(resource),
        query: { labelSelector, fieldSelector, limit: String(pageSize), continue: next },
        accept: this.#accept('PartialObjectMetadataList'),
        signal,
      });
      if (signal.aborted) throw new StatusError('Timeout', 'ended');
      for (const item of page.items ?? []) this.#tell(item, round);
      version = page.metadata?.resourceVersion ?? '';
      next = page.metadata?.continue === '' ? undefined : page.metadata?.continue;
    } while (next !== undefined);
    this.#well();
    onListed(round);
    return version;
  }

  /** Returns when the server has ended it; throws `Expired` when there is no going on from the version. */
  async #watch(resource: ApiResource, signal: AbortSignal): Promise<void> {
    const { api, labelSelector, fieldSelector } = this.#options;
    const { shortest, longest } = watchSeconds;
    const timeoutSeconds = Math.round(shortest + Math.random() * (longest - shortest));
    const lines = api.lines({
      method: 'GET',
      path: this.#path(resource),
      query: {
        watch: 'true',
        allowWatchBookmarks: 'true',
        resourceVersion: this.#version,
        timeoutSeconds: String(timeoutSeconds),
        labelSelector,
        fieldSelector,
      },
      accept: this.#accept('PartialObjectMetadata'),
      idleMs: this.#sendsBookmarks ? bookmarkSilenceMs : (timeoutSeconds + 30) * 1000,
      signal,
    });
    for await (const line of lines) {
      if (signal.aborted) return;
      const event = parseEvent(line);
      // Cut short: the connection broke in the middle of it.
      if (event === undefined) return;
      if (event.type === 'ERROR') throw errorOf(event.object);
      this.#version = event.object.metadata.resourceVersion ?? this.#version;
      this.#well();
      this.#failures = 0;
      if (event.type === 'BOOKMARK') this.#sendsBookmarks = true;
      else if (event.type === 'DELETED') this.#options.onDeleted(event.object.metadata);
      else this.#tell(event.object, this.round);
    }
    if (!signal.aborted) this.#well();
  }

  /** How long to wait before the next try. */
  #failed(error: unknown, signal: AbortSignal): number {
    if (signal.aborted || (isExpired(error) && !this.#hasExpiredLately())) return 0;
    const reason = error instanceof StatusError ? error.reason : undefined;
    this.message = error instanceof Error ? error.message : String(error);
    if (reason === 'Forbidden' || reason === 'NotFound' || reason === 'MethodNotAllowed') {
      this.#setState(reason === 'NotFound' ? 'Gone' : 'Forbidden');
      this.heard = this.#options.clock.now();
      // A kind that has just gone may come back with the next release; see `relist`.
      return retryMs;
    }
    // What was listed a moment ago holds.
    if (!isExpired(error) || this.state !== 'Watching') this.#setState('Away');
    const pause = Math.min(backoffMs.longest, backoffMs.first * 2 ** this.#failures);
    this.#failures += 1;
    return pause;
  }

  /** Once is the way of things; a server that says so each time must not be asked as fast as it answers. */
  #hasExpiredLately(): boolean {
    const now = this.#now();
    const hasExpired = now - this.#expiredAt < expiredAgainMs;
    this.#expiredAt = now;
    return hasExpired;
  }

  #well(): void {
    this.heard = this.#options.clock.now();
    this.message = undefined;
    this.#setState('Watching');
  }

  #setState(state: WatchState): void {
    if (this.state === state) return;
    const { logger, apiVersion, kind, onState } = this.#options;
    const fields = {
      apiVersion,
      kind,
      state,
      ...(this.message === undefined ? {} : { error: this.message }),
    };
    if (state === 'Watching') logger.debug('objects of a kind are watched', fields);
    else logger.warn('objects of a kind cannot be watched', fields);
    this.state = state;
    onState(state);
  }

  /** Metadata alone does not say what it is of. */
  #tell(object: KubeObject, round: number): void {
    const { apiVersion, kind, onObject } = this.#options;
    onObject({ ...object, apiVersion, kind }, round);
  }

  #path(resource: ApiResource): string {
    const { namespace } = this.#options;
    return pathOf(resource, namespace === undefined ? {} : { namespace });
  }

  #accept(as: string): string {
    if (this.#options.whole === true) return 'application/json';
    return `application/json;as=${as};g=meta.k8s.io;v=v1,application/json`;
  }

  #now(): number {
    return this.#options.clock.now().getTime();
  }
}

interface ObjectPage {
  readonly metadata?: { readonly resourceVersion?: string; readonly continue?: string };
  readonly items?: readonly KubeObject[];
}

interface WatchLine {
  readonly type: string;
  readonly object: KubeObject;
}

function parseEvent(line: string): WatchLine | undefined {
  try {
    const event = JSON.parse(line) as Partial<WatchLine>;
    return typeof event.type === 'string' && typeof event.object === 'object'
      ? (event as WatchLine)
      : undefined;
  } catch {
    return undefined;
  }
}

function errorOf(status: unknown): StatusError {
  const code = (status as { code?: unknown } | null)?.code;
  return statusErrorFromBody(status, typeof code === 'number' ? code : 500);
}

/** The connection or the server had a moment of weakness; where the watch was still holds. */
function isPassing(error: unknown): boolean {
  return (
    !(error instanceof StatusError) ||
    [
      'ServiceUnavailable',
      'Timeout',
      'ServerTimeout',
      'TooManyRequests',
      'InternalError',
      'Unauthorized',
    ].includes(error.reason)
  );
}
