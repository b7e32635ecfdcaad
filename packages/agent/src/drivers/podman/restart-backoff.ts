const firstDelaySeconds = 10;
const longestDelaySeconds = 300;
const resetAfterSeconds = 600;

interface Restarts {
  count: number;
}

/**
 * Kubernetes' CrashLoopBackOff: the first restart comes at once, then after 10 s, doubling up to 5 min; a container that ran for
 * 10 min starts over. Kept in memory: after a restart of the agent a crashing container is tried at once.
 */
export class RestartBackoff {
  readonly #restarts = new Map<string, Restarts>();

  /** Times that the container was started again since it last ran for long. */
  restarts(key: string): number {
    return this.#restarts.get(key)?.count ?? 0;
  }

  /** Time (ms) before which a container that ended must not be started again. */
  notBefore(key: string, ended: { readonly startedAt: number; readonly exitedAt: number }): number {
    const count = this.#restarts.get(key)?.count ?? 0;
    if (count === 0 || ranLong(ended)) return ended.exitedAt;
    const delay = Math.min(firstDelaySeconds * 2 ** (count - 1), longestDelaySeconds);
    return ended.exitedAt + delay * 1000;
  }

  recordRestart(key: string, ended: { readonly startedAt: number; readonly exitedAt: number }): void {
    const count = ranLong(ended) ? 0 : this.restarts(key);
    this.#restarts.set(key, { count: count + 1 });
  }

  /** Forgets a pod's containers. */
  forget(prefix: string): void {
    for (const key of this.#restarts.keys()) if (key.startsWith(prefix)) this.#restarts.delete(key);
  }
}

function ranLong({
  startedAt,
  exitedAt,
}: {
  readonly startedAt: number;
  readonly exitedAt: number;
}): boolean {
  return startedAt > 0 && exitedAt - startedAt >= resetAfterSeconds * 1000;
}
