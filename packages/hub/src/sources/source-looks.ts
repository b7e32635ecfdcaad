import type { Application } from '@selvedge/api';
import type { SourceError } from './source-reading.ts';
import { intervalOf, refreshAnnotation, sourceSpecDigest, sourceWayDigest } from './source-spec.ts';

/** What was looked at, and as what: another one is looked at for itself. */
interface Looked {
  /** An Application that is deleted and made again is another. */
  readonly uid: string;
  readonly specDigest: string;
  readonly refresh: string | undefined;
  /** Also how often, with which login. */
  readonly wayDigest: string;
}

interface Known extends Looked {
  /** Milliseconds since 1970; `Infinity`: only when something changes. */
  readonly nextTime: number;
  /** Milliseconds since 1970: when it is looked at if the Application does not say by then what was read. */
  readonly doubtTime: number;
  readonly failures: number;
  readonly failed?: { readonly revision: string; readonly error: SourceError };
}

const firstRetrySeconds = 10;

/**
 * When each source is looked at next. In memory alone: a hub that starts looks at everything once within its interval, and at once at
 * what it has not read yet.
 */
export class SourceLooks {
  readonly #known = new Map<string, Known>();
  readonly #asked = new Map<string, { readonly refresh: string; readonly time: string }>();
  readonly #hurried = new Set<string>();
  readonly #random: () => number;

  constructor(random: () => number) {
    this.#random = random;
  }

  forget(key: string): void {
    this.#known.delete(key);
    this.#asked.delete(key);
    this.#hurried.delete(key);
  }

  /** Called as soon as the hub hears of a change. */
  notice(key: string, application: Application, now: Date): void {
    const refresh = refreshOf(application);
    if (refresh === undefined || this.#asked.get(key)?.refresh === refresh) return;
    this.#asked.set(key, { refresh, time: now.toISOString() });
  }

  /** What the source is read with has changed: it is looked at next, whenever that would have been. */
  hurry(key: string): void {
    this.#hurried.add(key);
  }

  /** What changes from now on is seen by the look that begins, or asks for another. */
  began(key: string): void {
    this.#hurried.delete(key);
  }

  /** The Application with a refresh that is still to be carried out asked for when the hub heard of it, by its own clock. */
  withAskedTime(key: string, application: Application): Application {
    const refresh = refreshOf(application);
    if (refresh === undefined) return application;
    const asked = this.#asked.get(key);
    const isNew = refresh !== application.status?.lastRefresh && asked?.refresh === refresh;
    const { metadata } = application;
    const annotations = { ...metadata.annotations, [refreshAnnotation]: isNew ? asked.time : refresh };
    return { ...application, metadata: { ...metadata, annotations } };
  }

  /** Seconds until the source is to be looked at; 0: now. `isPresent`: what the spec names now has been read, and well. */
  secondsLeft(key: string, application: Application, at: { now: Date; isPresent: boolean }): number {
    if (this.#hurried.has(key)) return 0;
    const known = this.#find(key, application);
    const refresh = refreshOf(application);
    const now = at.now.getTime();
    if (!known) {
      if (!at.isPresent || (refresh !== undefined && refresh !== application.status?.lastRefresh)) return 0;
      // Not all at once when the hub has started.
      const seconds = intervalOf(application) * this.#random();
      this.#known.set(key, {
        ...lookedAt(application),
        nextTime: now + seconds * 1000,
        doubtTime: now,
        failures: 0,
      });
      return seconds;
    }
    if (!isSame(known, lookedAt(application))) return 0;
    const isInDoubt = !at.isPresent && known.failures === 0;
    const nextTime = isInDoubt ? Math.min(known.nextTime, known.doubtTime) : known.nextTime;
    // A clock that was set back must not keep it from being looked at.
    const longest = isInDoubt ? firstRetrySeconds : nextSeconds(application, known) * 2;
    return Math.min(Math.max(0, (nextTime - now) / 1000), longest);
  }

  succeeded(key: string, application: Application, options: { now: Date; isLast: boolean }): void {
    const seconds = options.isLast ? Infinity : this.#jittered(intervalOf(application));
    const now = options.now.getTime();
    this.#known.set(key, {
      ...lookedAt(application),
      nextTime: now + seconds * 1000,
      doubtTime: now + firstRetrySeconds * 1000,
      failures: 0,
    });
  }

  /** `revision`: what was looked at, when it cannot become better by trying again. */
  failed(
    key: string,
    application: Application,
    options: { now: Date; error: SourceError; revision: string | undefined },
  ): void {
    const { now, error, revision } = options;
    const failures = (this.#find(key, application)?.failures ?? 0) + 1;
    const known = { failures, nextTime: Infinity };
    const seconds = this.#jittered(nextSeconds(application, known));
    this.#known.set(key, {
      ...lookedAt(application),
      nextTime: now.getTime() + seconds * 1000,
      doubtTime: now.getTime(),
      failures,
      ...(revision === undefined ? {} : { failed: { revision, error } }),
    });
  }

  /** The error that exactly this revision ended with, unless a person asks to look again. */
  findFailure(key: string, application: Application, revision: string): SourceError | undefined {
    const known = this.#known.get(key);
    if (known?.failed?.revision !== revision) return undefined;
    return isSame(known, lookedAt(application)) ? known.failed.error : undefined;
  }

  #find(key: string, { metadata }: Application): Known | undefined {
    const known = this.#known.get(key);
    return known?.uid === (metadata.uid ?? '') ? known : undefined;
  }

  #jittered(seconds: number): number {
    return seconds * (0.9 + 0.2 * this.#random());
  }
}

/** After failures sooner than the interval, at first. */
function nextSeconds(
  application: Application,
  { failures, nextTime }: { failures: number; nextTime: number },
): number {
  const interval = intervalOf(application);
  if (failures === 0) return nextTime === Infinity ? Infinity : interval;
  return Math.min(interval, firstRetrySeconds * 2 ** Math.min(failures - 1, 20));
}

function lookedAt(application: Application): Looked {
  return {
    uid: application.metadata.uid ?? '',
    specDigest: sourceSpecDigest(application),
    refresh: refreshOf(application),
    wayDigest: sourceWayDigest(application),
  };
}

function isSame(known: Looked, { uid, specDigest, refresh, wayDigest }: Looked): boolean {
  return (
    known.uid === uid &&
    known.specDigest === specDigest &&
    known.refresh === refresh &&
    known.wayDigest === wayDigest
  );
}

function refreshOf({ metadata }: Application): string | undefined {
  return metadata.annotations?.[refreshAnnotation]?.slice(0, 100);
}
