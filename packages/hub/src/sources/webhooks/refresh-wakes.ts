import {
  type Application,
  applications,
  type Clock,
  type Logger,
  type ObjectClient,
  isNotFound,
} from '@selvedge/api';
import { keyOfObject, nameOfKey } from '@selvedge/kube';
import { refreshAnnotation } from '../source-spec.ts';

export interface RefreshWakesOptions {
  readonly client: Pick<ObjectClient, 'mergePatch'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

/** Of many wakes of one application within this time the first and the last are written. */
const pauseMilliseconds = 5_000;

/**
 * Asks for another look at sources, by an annotation: whichever hub runs the controllers sees it. However often it is called, an
 * application is written at most once in five seconds, and the last call is never lost.
 */
export class RefreshWakes {
  readonly #o: RefreshWakesOptions;
  /** By key of an application that was woken just now: the time of the wake that waits, if one does. */
  readonly #pausing = new Map<string, { waiting: string | undefined }>();
  readonly #running = new Set<Promise<void>>();

  constructor(options: RefreshWakesOptions) {
    this.#o = options;
  }

  /** @param time RFC 3339; applications that are woken by one event get the same, so that one look at the repository does for all. */
  wake(application: Application, time: string): void {
    const key = keyOfObject(application);
    const pause = this.#pausing.get(key);
    if (pause !== undefined) {
      pause.waiting = time;
      return;
    }
    const running = this.#write(key, time).finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  /** Resolves when nothing is being written any more; fire the signal first. */
  async idle(): Promise<void> {
    await Promise.all(this.#running);
  }

  async #write(key: string, first: string): Promise<void> {
    const { clock, signal } = this.#o;
    const pause: { waiting: string | undefined } = { waiting: first };
    this.#pausing.set(key, pause);
    while (pause.waiting !== undefined) {
      const time = pause.waiting;
      pause.waiting = undefined;
      await this.#annotate(key, time);
      await clock.sleep(pauseMilliseconds, signal);
    }
    this.#pausing.delete(key);
  }

  async #annotate(key: string, time: string): Promise<void> {
    const { client, logger } = this.#o;
    try {
      const patch = { metadata: { annotations: { [refreshAnnotation]: time } } };
      await client.mergePatch<Application>(applications, nameOfKey(key), patch);
    } catch (error) {
      // It is looked at in its interval all the same.
      if (!isNotFound(error)) logger.warn('a webhook could not wake its application', { object: key, error });
    }
  }
}
