import type { Clock, Logger } from '@selvedge/api';

/** One thing that has to be well for the server to serve. */
export interface HealthCheck {
  /** As in `/readyz/NAME`: lower case, digits and dashes. */
  readonly name: string;
  /** Throws while it is not well. The message is for the log, and for those who may see it. */
  readonly check: () => void | Promise<void>;
  /** Counts for `/livez` too: only a restart helps. Default: only for `/readyz`. */
  readonly isVital?: boolean;
}

export interface CheckResult {
  readonly name: string;
  readonly isExcluded: boolean;
  /** Why it is not well. */
  readonly fault?: string;
}

/** A check that does not answer is a fault. */
const timeoutMs = 5_000;
/** Anybody may ask: between two looks the last one holds. */
const freshMs = 500;

/** The checks behind `/livez`, `/readyz` and `/healthz`. */
export class Health {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #checks = new Map<
    string,
    { check: HealthCheck; result?: Promise<string | undefined>; at: number }
  >();

  constructor({ clock, logger }: { clock: Clock; logger: Logger }) {
    this.#clock = clock;
    this.#logger = logger;
    this.add({ name: 'ping', isVital: true, check: () => {} });
  }

  add(check: HealthCheck): void {
    if (this.#checks.has(check.name)) throw new Error(`the health check ${check.name} is there already`);
    this.#checks.set(check.name, { check, at: Number.NEGATIVE_INFINITY });
  }

  /** Names in order of addition. */
  names(kind: 'live' | 'ready'): string[] {
    return [...this.#checks.values()]
      .filter(({ check }) => kind === 'ready' || check.isVital === true)
      .map(({ check }) => check.name);
  }

  /** Each of the named checks; those in `exclude` are not asked. */
  async run(names: readonly string[], exclude: ReadonlySet<string> = new Set()): Promise<CheckResult[]> {
    return Promise.all(
      names.map(async (name) => {
        if (exclude.has(name)) return { name, isExcluded: true };
        const fault = await this.#ask(name);
        return { name, isExcluded: false, ...(fault === undefined ? {} : { fault }) };
      }),
    );
  }

  async #ask(name: string): Promise<string | undefined> {
    const entry = this.#checks.get(name);
    if (!entry) return 'there is no such check';
    const now = performance.now();
    if (entry.result && now - entry.at < freshMs) return entry.result;
    try {
      const outcome = entry.check.check();
      if (!outcome) return undefined;
      entry.at = now;
      entry.result = this.#answerOf(name, outcome);
      return await entry.result;
    } catch (error) {
      return this.#faultOf(name, error);
    }
  }

  async #answerOf(name: string, outcome: Promise<void>): Promise<string | undefined> {
    const answered = new AbortController();
    const late = this.#clock.sleep(timeoutMs, answered.signal).then(() => {
      if (!answered.signal.aborted) throw new Error(`no answer within ${timeoutMs / 1000} s`);
    });
    try {
      await Promise.race([outcome, late]);
      return undefined;
    } catch (error) {
      return this.#faultOf(name, error);
    } finally {
      answered.abort('answered');
    }
  }

  #faultOf(name: string, error: unknown): string {
    const message = error instanceof Error ? error.message : String(error);
    this.#logger.warn('health check failed', { check: name, error: message });
    return message;
  }
}
