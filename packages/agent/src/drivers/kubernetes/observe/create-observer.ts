import { isDeepStrictEqual } from 'node:util';
import { type Clock, type KubeObject, type Logger, type ObjectMeta, StatusError } from '@selvedge/api';
import { isApiAway } from '../api/api-away.ts';
import type { KubeApi } from '../api/kube-api.ts';
import { compileHealthRules } from '../health/health-rules.ts';
import { refKey } from '../release/planned-object.ts';
import { KindWatch, type WatchState } from './kind-watch.ts';
import { memberLabel, ObjectReader } from './object-reader.ts';
import { ObjectIndex } from './object-index.ts';
import type { ItemObservation, Observer, TrackedItem } from './observer.ts';
import {
  absentObject,
  type ItemState,
  knownUntil,
  kindOf,
  newObjectState,
  type ObjectState,
  type SeenObject,
  unreadableObject,
} from './tracked-object.ts';

export interface ObserverOptions {
  readonly api: KubeApi;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Objects that are read at the same time. */
const readers = 4;
/** An object whose status changes all the time is not read more often. */
const shortestBetweenReadsMs = 1000;
/** Failed tries in a row after which an object counts as one that cannot be read. */
const unreadableAfter = 5;
/** How often an object is looked at of which no watch tells. */
const unwatchedMs = 30_000;
const retryMs = { first: 1000, longest: 60_000 };
/** Looks at the pods of a workload that is not as it should be: soon at first, then seldom. */
const problemMs = { first: 2000, longest: 60_000 };

/** Workloads of one item whose pods are looked at often: a report names one problem, and when all fail they fail alike. */
const suspectsPerItem = 5;

/** See `Observer`. */
export function createObserver(options: ObserverOptions): Observer {
  return new ClusterObserver(options);
}

/** Which list of a kind an object was told of by, or since. */
interface ListMark {
  readonly round: number;
  readonly list: number;
}

interface RunningWatch {
  readonly watch: KindWatch;
  readonly stop: AbortController;
  isStarted: boolean;
}

class ClusterObserver implements Observer {
  readonly #options: ObserverOptions;
  readonly #reader: ObjectReader;
  readonly #items = new Map<string, ItemState>();
  readonly #objects = new ObjectIndex();
  /** By `kindOf`. */
  readonly #watches = new Map<string, RunningWatch>();
  readonly #listeners: ((uid: string) => void)[] = [];
  /** Objects to be looked at, in this order. */
  readonly #queue = new Set<ObjectState>();
  #wake = Promise.withResolvers<void>();
  #signal: AbortSignal | undefined;
  /** The last read failed as the API was not there. */
  #isAway = false;

  constructor(options: ObserverOptions) {
    this.#options = options;
    this.#reader = new ObjectReader(options);
  }

  track(items: readonly TrackedItem[]): void {
    const old = new Map(this.#items);
    const keys = new Set<string>();
    this.#items.clear();
    for (const item of items) {
      const state = this.#trackItem(item, old.get(item.uid));
      this.#items.set(item.uid, state);
      for (const { key } of state.objects) keys.add(key);
    }
    for (const object of this.#objects.keepOnly(keys)) this.#queue.delete(object);
    this.#startWatches();
    this.#notify();
  }

  find(uid: string): ItemObservation | undefined {
    const item = this.#items.get(uid);
    if (!item) return undefined;
    const seen: SeenObject[] = [];
    for (const object of item.objects) {
      if (object.isStale || object.seen === undefined) return undefined;
      seen.push(object.seen);
    }
    return {
      objects: seen.map(({ observed }) => observed),
      pods: {
        wanted: seen.reduce((sum, { pods }) => sum + pods.wanted, 0),
        ready: seen.reduce((sum, { pods }) => sum + pods.ready, 0),
      },
    };
  }

  invalidate(uid: string): void {
    const kinds = new Set<string>();
    const objects = this.#items.get(uid)?.objects ?? [];
    for (const { planned } of objects) kinds.add(kindOf(planned.ref));
    const rounds = new Map([...kinds].map((kind) => [kind, this.#watches.get(kind)?.watch.relist() ?? 0]));
    for (const object of objects) {
      object.isStale = true;
      object.serial += 1;
      object.round = rounds.get(kindOf(object.planned.ref)) ?? 0;
      object.told = undefined;
      object.podLooks = 0;
    }
  }

  onChange(listener: (uid: string) => void): void {
    this.#listeners.push(listener);
  }

  lastLook(): Date | undefined {
    if (this.#isAway) return undefined;
    let last = this.#options.clock.now().getTime();
    for (const object of this.#objects.values()) {
      const at = knownUntil(object, this.#watches.get(kindOf(object.planned.ref))?.watch);
      if (at === undefined) return undefined;
      last = Math.min(last, at);
    }
    return new Date(last);
  }

  async run(signal: AbortSignal): Promise<void> {
    this.#signal = signal;
    signal.addEventListener('abort', () => this.#notify(), { once: true });
    this.#startWatches();
    await Promise.all([
      this.#lookAgain(signal),
      ...Array.from({ length: readers }, () => this.#work(signal)),
    ]);
    for (const { stop } of this.#watches.values()) stop.abort();
  }

  #trackItem(item: TrackedItem, old: ItemState | undefined): ItemState {
    const hasSameRules = old !== undefined && isDeepStrictEqual(old.rules, item.rules);
    if (hasSameRules && old.planned === item.objects) return old;
    const health = hasSameRules ? old.health : compileHealthRules(item.rules.health ?? []);
    const objects = item.objects.map((planned) => {
      const key = `${item.uid} ${refKey(planned.ref)}`;
      const known = this.#objects.get(key);
      const object = known ?? newObjectState(key, planned);
      const isSame = known !== undefined && hasSameRules && isDeepStrictEqual(known.planned, planned);
      if (!isSame) {
        object.planned = planned;
        object.isStale = true;
        object.serial += 1;
        object.podLooks = 0;
        // What was seen was judged by other rules.
        object.seen = undefined;
        this.#enqueueIfListed(object);
      }
      this.#objects.add(object);
      return object;
    });
    const state: ItemState = {
      uid: item.uid,
      rules: item.rules,
      health,
      planned: item.objects,
      objects,
    };
    for (const object of objects) object.item = state;
    return state;
  }

  /** Before the first list of its kind nothing has to be read: the list will tell. */
  #enqueueIfListed(object: ObjectState): void {
    const watch = this.#watches.get(kindOf(object.planned.ref))?.watch;
    if (watch !== undefined && watch.state !== 'Starting') this.#enqueue(object);
  }

  #startWatches(): void {
    const wanted = new Map([...this.#objects.values()].map(({ planned: { ref } }) => [kindOf(ref), ref]));
    for (const [key, { stop }] of this.#watches) {
      if (wanted.has(key)) continue;
      stop.abort();
      this.#watches.delete(key);
    }
    for (const [key, { apiVersion, kind }] of wanted) {
      let running = this.#watches.get(key);
      if (!running) {
        const watch: KindWatch = new KindWatch({
          ...this.#options,
          apiVersion,
          kind,
          labelSelector: memberLabel,
          onObject: (object, round) => this.#seeMetadata(object, { round, list: watch.lists }),
          onDeleted: (metadata) => this.#seeDeleted({ apiVersion, kind }, metadata),
          onListed: (round) => this.#seeListed(key, { round, list: watch.lists }),
          onState: (state) => this.#seeState(key, state),
        });
        running = { watch, stop: new AbortController(), isStarted: false };
        this.#watches.set(key, running);
      }
      if (this.#signal && !running.isStarted) {
        running.isStarted = true;
        void running.watch.run(AbortSignal.any([this.#signal, running.stop.signal]));
      }
    }
  }

  /** From a list or a watch; of what it is a version that was there at that time. */
  #seeMetadata(object: KubeObject, { round, list }: ListMark): void {
    for (const state of this.#objects.named(object)) {
      state.list = list;
      if (state.seen !== undefined && state.seen.resourceVersion === object.metadata.resourceVersion) {
        if (state.isStale && round >= state.round) this.#becomeKnown(state);
        continue;
      }
      if (round >= state.round) state.told = object;
      this.#enqueue(state);
    }
  }

  /** Deleted, or without our label. */
  #seeDeleted(kind: { apiVersion: string; kind: string }, metadata: ObjectMeta): void {
    for (const state of this.#objects.named({ ...kind, metadata })) {
      state.told = undefined;
      this.#enqueue(state);
    }
  }

  #seeListed(key: string, { round, list }: ListMark): void {
    for (const object of this.#objects.ofKind(key)) {
      // It is not in the list, and is thought to be there; or it has to be looked at anyway.
      const isMissed = object.list !== list && object.seen?.observed.exists !== false;
      if (isMissed || (object.isStale && object.round <= round)) this.#enqueue(object);
    }
    this.#notify();
  }

  #seeState(key: string, state: WatchState): void {
    for (const object of this.#objects.ofKind(key)) {
      if (state === 'Gone' || state === 'Forbidden') this.#enqueue(object);
      // Objects may be readable one by one while they cannot be listed.
      else if (state === 'Away') this.#lookWithoutWatch(object);
    }
    // Listeners ask `lastLook`.
    for (const item of this.#items.values()) {
      if (item.objects.some(({ planned }) => kindOf(planned.ref) === key)) this.#tell(item.uid);
    }
  }

  #lookWithoutWatch(object: ObjectState): void {
    const pause = object.isStale ? retryMs.first : unwatchedMs;
    const next = this.#options.clock.now().getTime() + spread(pause);
    object.nextLook = Math.min(object.nextLook ?? Infinity, next);
    this.#notify();
  }

  #enqueue(object: ObjectState): void {
    const now = this.#options.clock.now().getTime();
    const since = now - object.lastLook;
    if (!object.isStale && since >= 0 && since < shortestBetweenReadsMs) {
      object.nextLook = Math.min(object.nextLook ?? Infinity, object.lastLook + shortestBetweenReadsMs);
    } else {
      this.#queue.add(object);
    }
    this.#notify();
  }

  #notify(): void {
    this.#wake.resolve();
    this.#wake = Promise.withResolvers<void>();
  }

  #tell(uid: string): void {
    for (const listener of this.#listeners) listener(uid);
  }

  #becomeKnown(object: ObjectState): void {
    object.isStale = false;
    if (object.item?.objects.every((other) => !other.isStale) === true) this.#tell(object.item.uid);
  }

  async #work(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const [object] = this.#queue;
      if (!object) {
        await this.#wake.promise;
        continue;
      }
      this.#queue.delete(object);
      await this.#look(object, signal);
    }
  }

  async #look(object: ObjectState, signal: AbortSignal): Promise<void> {
    const { item, serial, planned } = object;
    if (!item) return;
    object.lastLook = this.#options.clock.now().getTime();
    object.nextLook = undefined;
    const { told } = object;
    const running = this.#watches.get(kindOf(planned.ref));
    try {
      const resource = await this.#options.api.findResource(planned.ref.apiVersion, planned.ref.kind);
      const seen = resource
        ? await this.#reader.read({ object, item, resource, signal })
        : absentObject(
            planned.ref,
            `the cluster has no kind ${planned.ref.kind} in ${planned.ref.apiVersion}`,
          );
      this.#isAway = false;
      this.#known(object);
      if (object.told === told) object.told = undefined;
      this.#remember(object, { seen, serial, isWatched: running?.watch.state === 'Watching' });
    } catch (error) {
      if (signal.aborted) return;
      this.#lookFailed(object, { error, serial });
    }
  }

  #remember(
    object: ObjectState,
    { seen, serial, isWatched }: { seen: SeenObject; serial: number; isWatched: boolean },
  ): void {
    if (this.#objects.get(object.key) !== object) return;
    if (object.serial !== serial) {
      // Something was applied, or planned anew, while it was read.
      this.#enqueue(object);
      return;
    }
    const before = object.seen;
    object.seen = seen;
    const now = this.#options.clock.now().getTime();
    if (!isWatched || !seen.isSelected) object.nextLook = now + spread(unwatchedMs);
    if (!seen.isOpen) {
      object.podLooks = 0;
      object.nextPodLook = undefined;
    } else if (seen.hasPodLook || object.nextPodLook === undefined) {
      const pause = this.#podPause(object);
      object.podLooks += 1;
      object.nextPodLook = now + spread(pause);
    }
    if (object.nextPodLook !== undefined)
      object.nextLook = Math.min(object.nextLook ?? Infinity, object.nextPodLook);
    this.#notify();
    if (object.isStale) this.#becomeKnown(object);
    else if (
      before === undefined ||
      !isDeepStrictEqual(before.observed, seen.observed) ||
      !isDeepStrictEqual(before.pods, seen.pods)
    ) {
      if (object.item) this.#tell(object.item.uid);
    }
  }

  /** Before the next look at the pods of a workload that is not as it should be: soon at first, and only for some of many. */
  #podPause(object: ObjectState): number {
    const others = object.item?.objects.filter(
      (other) => other !== object && other.nextPodLook !== undefined,
    );
    if ((others?.length ?? 0) >= suspectsPerItem) return problemMs.longest;
    return Math.min(problemMs.longest, problemMs.first * 1.5 ** object.podLooks);
  }

  #lookFailed(object: ObjectState, { error, serial }: { error: unknown; serial: number }): void {
    const reason = error instanceof StatusError ? error.reason : undefined;
    const message = error instanceof Error ? error.message : String(error);
    const { ref } = object.planned;
    if (reason === 'Forbidden' || reason === 'MethodNotAllowed') {
      this.#known(object);
      this.#remember(object, { seen: unreadableObject(ref, 'Forbidden', message), serial, isWatched: false });
      return;
    }
    const now = this.#options.clock.now().getTime();
    const isAway = isApiAway(error, ref.apiVersion);
    if (isAway) this.#isAway = true;
    this.#options.logger.debug('an object could not be looked at', { object: object.key, error: message });
    const pause = Math.min(retryMs.longest, retryMs.first * 2 ** object.failures);
    object.failures += 1;
    object.failingSince ??= now;
    // What is known of the others is not kept back for it; it is tried again all the same.
    if (!isAway && object.failures >= unreadableAfter) {
      object.knownAt = now;
      this.#remember(object, { seen: unreadableObject(ref, 'Unreadable', message), serial, isWatched: true });
    }
    object.nextLook = now + spread(pause);
    this.#notify();
  }

  #known(object: ObjectState): void {
    object.failures = 0;
    object.failingSince = undefined;
    object.knownAt = this.#options.clock.now().getTime();
  }

  /** Brings objects into the queue when their time has come. */
  async #lookAgain(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    while (!signal.aborted) {
      const now = clock.now().getTime();
      let next = Infinity;
      for (const object of this.#objects.values()) {
        if (object.nextLook === undefined) continue;
        if (object.nextLook > now) next = Math.min(next, object.nextLook);
        else {
          object.nextLook = undefined;
          this.#queue.add(object);
          this.#notify();
        }
      }
      const wake = this.#wake.promise;
      if (next === Infinity) await wake;
      else {
        const enough = new AbortController();
        await Promise.race([wake, clock.sleep(next - now, AbortSignal.any([signal, enough.signal]))]);
        enough.abort();
      }
    }
  }
}

const spread = (milliseconds: number): number => milliseconds * (0.8 + Math.random() * 0.4);
