import type { Clock } from '@selvedge/api';
import type { Probe } from '../manifest-model.ts';
import type { ProbeState } from '../pod-status.ts';
import { checkProbe, type ProbeAccess, type ProbeTarget } from './probe-check.ts';

interface Watched {
  state: ProbeState;
  readonly abort: AbortController;
}

export interface ProberOptions {
  readonly access: ProbeAccess;
  readonly clock: Clock;
  /** A container's state changed. */
  readonly onChange: () => void;
  /** From 0 up to 1; for the first try of a probe. */
  readonly random?: () => number;
}

/** Runs the probes of the containers that it is given, as the kubelet does. */
export class Prober {
  readonly #options: ProberOptions;
  readonly #watched = new Map<string, Watched>();
  /** Containers that were ready when the agent last ran: they keep their traffic until a probe fails. */
  #rememberedReady: ReadonlySet<string> = new Set();

  constructor(options: ProberOptions) {
    this.#options = options;
  }

  remember(readyContainerIds: Iterable<string>): void {
    this.#rememberedReady = new Set(readyContainerIds);
  }

  /** Containers that are ready now, for `remember` after a restart. Sorted. */
  readyContainers(): string[] {
    return [...this.#watched]
      .filter(([, { state }]) => state.isReady)
      .map(([id]) => id)
      .sort();
  }

  stateOf(containerId: string): ProbeState {
    return this.#watched.get(containerId)?.state ?? { isStarted: false, isReady: false };
  }

  /** Probes exactly these containers from now on. */
  watch(targets: readonly ProbeTarget[]): void {
    const wanted = new Set(targets.map((target) => target.containerId));
    for (const [id, watched] of this.#watched) {
      if (wanted.has(id)) continue;
      watched.abort.abort();
      this.#watched.delete(id);
    }
    for (const target of targets) if (!this.#watched.has(target.containerId)) this.#begin(target);
  }

  stop(): void {
    this.watch([]);
  }

  #begin(target: ProbeTarget): void {
    const { livenessProbe, readinessProbe, startupProbe } = target.container;
    const wasReady = this.#rememberedReady.has(target.containerId);
    const isStarted = startupProbe === undefined || wasReady;
    const abort = new AbortController();
    const state = { isStarted, isReady: wasReady || (isStarted && readinessProbe === undefined) };
    this.#watched.set(target.containerId, { state, abort });
    const run = async () => {
      if (startupProbe && !isStarted) await this.#runStartup(target, startupProbe, abort.signal);
      await Promise.all([
        readinessProbe ? this.#runReadiness(target, readinessProbe, abort.signal) : undefined,
        livenessProbe ? this.#runLiveness(target, livenessProbe, abort.signal) : undefined,
      ]);
    };
    void run();
  }

  async #runStartup(target: ProbeTarget, probe: Probe, signal: AbortSignal): Promise<void> {
    for await (const { isPassed, isFailed, message } of this.#results(target, probe, signal)) {
      if (isPassed) {
        this.#update(target, { isStarted: true, isReady: target.container.readinessProbe === undefined });
        return;
      }
      const text = `startup probe failed: ${message}`;
      this.#update(target, { message: text, ...(isFailed ? { mustRestart: text } : {}) });
    }
  }

  async #runReadiness(target: ProbeTarget, probe: Probe, signal: AbortSignal): Promise<void> {
    for await (const { isPassed, isFailed, message } of this.#results(target, probe, signal)) {
      if (isPassed) this.#update(target, { isReady: true });
      else if (isFailed)
        this.#update(target, { isReady: false, message: `readiness probe failed: ${message}` });
    }
  }

  async #runLiveness(target: ProbeTarget, probe: Probe, signal: AbortSignal): Promise<void> {
    for await (const { isFailed, message } of this.#results(target, probe, signal)) {
      if (isFailed) this.#update(target, { mustRestart: `liveness probe failed: ${message}` });
    }
  }

  #update(target: ProbeTarget, change: Partial<ProbeState>): void {
    const watched = this.#watched.get(target.containerId);
    if (!watched) return;
    const before = watched.state;
    const { message: _message, ...rest } = before;
    watched.state = { ...(change.isReady === true ? rest : before), ...change };
    const isSame = JSON.stringify(before) === JSON.stringify(watched.state);
    if (!isSame) this.#options.onChange();
  }

  /** Answers of one probe as long as the signal allows, after its thresholds. */
  async *#results(
    target: ProbeTarget,
    probe: Probe,
    signal: AbortSignal,
  ): AsyncGenerator<{ isPassed: boolean; isFailed: boolean; message: string }> {
    const { clock, random = Math.random } = this.#options;
    const periodMs = (probe.periodSeconds ?? 10) * 1000;
    const age = clock.now().getTime() - target.startedAt;
    const initialMs = Math.max(0, (probe.initialDelaySeconds ?? 0) * 1000 - age);
    // Spread: many containers that start together are not probed at the same instant.
    await clock.sleep(initialMs + random() * Math.min(periodMs, 1000) * 0.2, signal);
    let passes = 0;
    let failures = 0;
    while (!signal.aborted) {
      const message = await this.#try(target, probe, signal);
      if (signal.aborted) return;
      passes = message === undefined ? passes + 1 : 0;
      failures = message === undefined ? 0 : failures + 1;
      yield {
        isPassed: passes >= (probe.successThreshold ?? 1),
        isFailed: failures >= (probe.failureThreshold ?? 3),
        message: message ?? '',
      };
      await clock.sleep(periodMs, signal);
    }
  }

  /** Undefined when the probe passed. */
  async #try(target: ProbeTarget, probe: Probe, signal: AbortSignal): Promise<string | undefined> {
    const timeoutSeconds = probe.timeoutSeconds ?? 1;
    const attempt = new AbortController();
    const both = AbortSignal.any([attempt.signal, signal]);
    const timeout = this.#options.clock
      .sleep(timeoutSeconds * 1000, both)
      .then(() => `no answer within ${timeoutSeconds} s`);
    const check = checkProbe(probe, { target, access: this.#options.access, signal: both }).then(
      () => undefined,
      (error: unknown) => (error instanceof Error ? error.message : String(error)),
    );
    return await Promise.race([check, timeout]).finally(() => attempt.abort());
  }
}
