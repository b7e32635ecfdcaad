import { isConflict, isNotFound, isStatusError, type Clock, type Lease, type Logger } from '@selvedge/api';
import type { KubeApi } from '../api/kube-api.ts';

/** Who holds a Lease that is not ours. */
export interface LeaseHolder {
  readonly identity: string;
  /** RFC 3339, by the holder's clock. */
  readonly since?: string;
}

/** Whether this agent may write to the cluster. */
export interface WriteGuard {
  /** Ask before each write, not once for many. */
  mayAct(): boolean;
  /** The other agent, while that is why we may not. */
  findOther(): LeaseHolder | undefined;
  /** Called when `mayAct` or the other agent has changed. */
  onChange(listener: () => void): void;
}

/** An agent whose Lease ended without being given back. */
export interface Predecessor {
  readonly identity: string;
  /** When it renewed last, by its own clock. */
  readonly renewTime: string;
}

export interface LeaseGuardOptions {
  readonly api: KubeApi;
  readonly namespace: string;
  readonly name: string;
  /** Of this run's state directory: the same one after a restart goes on at once, a copy elsewhere is another. */
  readonly identity: string;
  /** A former holder of another Lease that is known to have ended: its Lease here need not be waited for. */
  readonly predecessor?: Predecessor | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random?: () => number;
  /** Milliseconds that never jump; `performance.now` when absent. */
  readonly monotonicMs?: () => number;
}

/** Who takes over from an agent that crashed waits this long; clocks do not matter for it. */
const leaseSeconds = 60;
/** A holder that could not renew for so long stops to act: before anybody else begins. */
const actMs = 40_000;
/** One request each: 180 an hour. */
const renewMs = 20_000;
/** While another holds it. */
const waitMs = 10_000;
/** While the Lease cannot be renewed, so that a short outage costs nothing. */
const retryMs = 5000;
/** A renewal that takes longer is of no use. */
const requestMs = 15_000;

/**
 * At most one agent writes: leader election by a Lease as client-go does it. Another's Lease counts as over when it did not change for its
 * duration since we first saw it so, by our own clock. Time counts from before the request that renewed it, so a holder stops before a successor starts.
 */
export class LeaseGuard implements WriteGuard {
  readonly #o: LeaseGuardOptions;
  readonly #path: string;
  readonly #monotonicMs: () => number;
  readonly #random: () => number;
  readonly #listeners: (() => void)[] = [];
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;
  /** The Lease as last seen, and when it became so. */
  #seen: { readonly lease: Lease; readonly version: string; readonly sinceMs: number } | undefined;
  #actUntilMs = -Infinity;
  #said: string | undefined;
  #predecessor: Predecessor | undefined;

  constructor(options: LeaseGuardOptions) {
    this.#o = options;
    this.#monotonicMs = options.monotonicMs ?? (() => performance.now());
    this.#random = options.random ?? Math.random;
    this.#path = `/apis/coordination.k8s.io/v1/namespaces/${options.namespace}/leases`;
  }

  mayAct(): boolean {
    return this.#monotonicMs() < this.#actUntilMs;
  }

  findOther(): LeaseHolder | undefined {
    if (this.mayAct()) return undefined;
    const { holderIdentity, acquireTime } = this.#seen?.lease.spec ?? {};
    if (!holderIdentity || holderIdentity === this.#o.identity) return undefined;
    return { identity: holderIdentity, ...(acquireTime ? { since: acquireTime } : {}) };
  }

  /** Whose Lease was over when this agent took it. */
  get predecessor(): Predecessor | undefined {
    return this.#predecessor;
  }

  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** Goes on until the signal fires or `stop`; does not wait for the Lease. */
  start(signal: AbortSignal): void {
    this.#running ??= this.#run(AbortSignal.any([signal, this.#stopping.signal]));
  }

  /** Resolves when this agent may act; also when the signal fires. */
  async waitUntilHeld(signal: AbortSignal): Promise<void> {
    const held = new AbortController();
    this.onChange(() => {
      if (this.mayAct()) held.abort('held');
    });
    while (!this.mayAct() && !signal.aborted) {
      await this.#o.clock.sleep(renewMs, AbortSignal.any([signal, held.signal]));
    }
  }

  /** Gives the Lease back, so that a successor need not wait. Nothing may be written after it was called. */
  async stop(): Promise<void> {
    this.#stopping.abort('stopped');
    await this.#running;
    const isOurs = this.#seen?.lease.spec?.holderIdentity === this.#o.identity;
    const mayRelease = isOurs && this.mayAct();
    this.#actUntilMs = -Infinity;
    if (mayRelease) await this.#release();
    this.#announce();
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { clock, logger, name } = this.#o;
    let isReported = false;
    while (!signal.aborted) {
      let pauseMs = renewMs;
      try {
        await this.#step(signal);
        isReported = false;
        if (!this.mayAct()) pauseMs = waitMs;
      } catch (error) {
        if (signal.aborted) break;
        pauseMs = retryMs;
        if (!isReported) logger.warn('the Lease of this site cannot be renewed', { lease: name, error });
        isReported = true;
      }
      this.#announce();
      // Ends in time when the right to act does, so that the change is told.
      const leftMs = this.#actUntilMs - this.#monotonicMs();
      const jittered = pauseMs * (0.9 + this.#random() * 0.1);
      await clock.sleep(leftMs > 0 ? Math.min(jittered, leftMs) : jittered, signal);
      this.#announce();
    }
  }

  async #step(signal: AbortSignal): Promise<void> {
    if (this.#seen?.lease.spec?.holderIdentity === this.#o.identity) {
      if (await this.#renew(this.#seen.lease, signal)) return;
    }
    const lease = await this.#look(signal);
    if (lease === undefined) await this.#create(signal);
    else if (this.#isFree(lease)) await this.#takeOver(lease, signal);
    else this.#actUntilMs = -Infinity;
  }

  /** Ours, given back, or not renewed for its duration while we looked on. */
  #isFree({ spec = {} }: Lease): boolean {
    if (!spec.holderIdentity || spec.holderIdentity === this.#o.identity) return true;
    if (this.#isOfPredecessor(spec)) return true;
    const durationMs = (spec.leaseDurationSeconds ?? leaseSeconds) * 1000;
    return this.#seen !== undefined && this.#monotonicMs() - this.#seen.sinceMs > durationMs;
  }

  /**
   * Its other Lease was not renewed for a lease's duration, by our clock; it renews both at the same pace, so when this one was renewed at most one pace later, by
   * its clock, its right to write is over too.
   */
  #isOfPredecessor({ holderIdentity, renewTime }: NonNullable<Lease['spec']>): boolean {
    const { predecessor } = this.#o;
    if (predecessor === undefined || holderIdentity !== predecessor.identity || !renewTime) return false;
    return Date.parse(renewTime) <= Date.parse(predecessor.renewTime) + renewMs;
  }

  async #takeOver(lease: Lease, signal: AbortSignal): Promise<void> {
    const { holderIdentity, renewTime } = lease.spec ?? {};
    const isAnother =
      holderIdentity !== undefined && holderIdentity !== '' && holderIdentity !== this.#o.identity;
    const isTaken = await this.#renew(lease, signal);
    if (isTaken && isAnother && renewTime) this.#predecessor = { identity: holderIdentity, renewTime };
  }

  async #look(signal: AbortSignal): Promise<Lease | undefined> {
    try {
      return this.#take(await this.#ask<Lease>('GET', `${this.#path}/${this.#o.name}`, { signal }));
    } catch (error) {
      if (!isNotFound(error)) throw error;
      this.#seen = undefined;
      return undefined;
    }
  }

  async #create(signal: AbortSignal): Promise<void> {
    const { name, namespace } = this.#o;
    const lease: Lease = {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: { name, namespace, labels: { 'app.kubernetes.io/managed-by': 'selvedge-agent' } },
      spec: this.#ownSpec(undefined),
    };
    try {
      await this.#write('POST', { lease, signal });
    } catch (error) {
      if (!isNotFound(error)) throw error;
      await this.#makeNamespace(signal);
      await this.#write('POST', { lease, signal });
    }
  }

  /** That of an agent beside the cluster need not be there; in the cluster it came with the agent. */
  async #makeNamespace(signal: AbortSignal): Promise<void> {
    const { api, namespace, logger } = this.#o;
    const body = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } };
    const bounded = AbortSignal.any([signal, AbortSignal.timeout(requestMs)]);
    await api.json({ method: 'POST', path: '/api/v1/namespaces', signal: bounded, body });
    logger.info('made the namespace that the agent keeps its records in', { namespace });
  }

  /** False when somebody else wrote it meanwhile. */
  #renew(lease: Lease, signal: AbortSignal): Promise<boolean> {
    const next: Lease = { ...lease, spec: this.#ownSpec(lease.spec) };
    return this.#write('PUT', { lease: next, signal });
  }

  async #write(
    method: 'POST' | 'PUT',
    { lease, signal }: { lease: Lease; signal: AbortSignal },
  ): Promise<boolean> {
    const path = method === 'POST' ? this.#path : `${this.#path}/${this.#o.name}`;
    const askedAtMs = this.#monotonicMs();
    try {
      this.#take(await this.#ask<Lease>(method, path, { body: lease, signal }));
    } catch (error) {
      // Deleted, or written by another: looked at again.
      if (
        isConflict(error) ||
        (method === 'PUT' && isNotFound(error)) ||
        (isStatusError(error) && error.reason === 'AlreadyExists')
      ) {
        this.#seen = undefined;
        return false;
      }
      throw error;
    }
    this.#actUntilMs = askedAtMs + actMs;
    return true;
  }

  #take(lease: Lease): Lease {
    const version = `${lease.metadata.uid} ${lease.metadata.resourceVersion}`;
    if (this.#seen?.version !== version) this.#seen = { lease, version, sinceMs: this.#monotonicMs() };
    return lease;
  }

  #ownSpec(former: Lease['spec']): NonNullable<Lease['spec']> {
    const now = microTime(this.#o.clock.now());
    const isOurs = former?.holderIdentity === this.#o.identity;
    const transitions = former?.leaseTransitions ?? 0;
    return {
      holderIdentity: this.#o.identity,
      leaseDurationSeconds: leaseSeconds,
      acquireTime: isOurs ? (former.acquireTime ?? now) : now,
      renewTime: now,
      leaseTransitions: isOurs || former === undefined ? transitions : transitions + 1,
    };
  }

  async #release(): Promise<void> {
    const { lease } = this.#seen as { lease: Lease };
    const now = microTime(this.#o.clock.now());
    const spec = {
      ...lease.spec,
      holderIdentity: '',
      leaseDurationSeconds: 1,
      acquireTime: now,
      renewTime: now,
    };
    try {
      const path = `${this.#path}/${this.#o.name}`;
      const signal = AbortSignal.timeout(releaseMs);
      await this.#ask('PUT', path, { body: { ...lease, spec }, signal });
    } catch (error) {
      this.#o.logger.debug('the Lease could not be given back; it ends by itself', { error });
    }
  }

  /** Bounded: a request that hangs must not keep us from trying again. */
  async #ask<T extends Lease>(
    method: 'GET' | 'POST' | 'PUT',
    path: string,
    options: { body?: Lease; signal: AbortSignal },
  ): Promise<T> {
    const { body, signal } = options;
    const bounded = AbortSignal.any([signal, AbortSignal.timeout(requestMs)]);
    return this.#o.api.json<T>({ method, path, signal: bounded, ...(body === undefined ? {} : { body }) });
  }

  #announce(): void {
    const other = this.findOther();
    const text = JSON.stringify([this.mayAct(), other]);
    if (text === this.#said) return;
    this.#said = text;
    const { logger, name } = this.#o;
    if (other !== undefined) {
      logger.warn('another agent drives this site; nothing is written', { lease: name, ...other });
    } else if (this.mayAct()) {
      logger.info('this agent holds the Lease of its site', { lease: name });
    }
    for (const listener of this.#listeners) listener();
  }
}

const releaseMs = 3000;

/** Kubernetes' MicroTime. */
function microTime(time: Date): string {
  return time.toISOString().replace('Z', '000Z');
}
