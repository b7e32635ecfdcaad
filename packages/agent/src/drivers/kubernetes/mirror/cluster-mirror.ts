import {
  type Clock,
  formatLabelSelector,
  type KubeObject,
  type Logger,
  manifestsLimitBytes,
  type MirrorOrder,
  type MirrorReport,
} from '@selvedge/api';
import { mirrorOrderDigest, sha256Digest } from '@selvedge/api/node';
import { WakeUp } from '../../../sync/wake-up.ts';
import type { KubeApi } from '../api/kube-api.ts';
import { fieldOf } from '../drift/json-pointer.ts';
import { composeMirror } from './compose-mirror.ts';
import { MirroredKind } from './mirrored-kind.ts';

type Said = Pick<MirrorReport, 'digest' | 'objects' | 'message'>;

export interface ClusterMirrorOptions {
  readonly api: KubeApi;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly order: MirrorOrder;
  /** Names of the storage classes that claims without one get; undefined while they are not known. */
  readonly defaultStorageClasses: () => ReadonlySet<string> | undefined;
  readonly onChange: () => void;
}

/** An object that is gone counts for so many times the wait after a change: what is made anew meanwhile was never gone for others. */
const goneSettles = 12;
/** What never comes to rest is said to be so after this time. */
const restlessMs = 300_000;
/** What is not known yet, or may be lasting by then, is looked at again. */
const lookAgainMs = 5_000;

/** One application's mirror: follows what it selects, and says what it has once nothing has changed for a while. */
export class ClusterMirror {
  readonly order: MirrorOrder;
  readonly #options: ClusterMirrorOptions;
  readonly #kinds: readonly MirroredKind[];
  readonly #changed = new WakeUp();
  #changes = 0;
  /** Since when something changes again and again (ms). */
  #restlessSince: number | undefined;
  readonly #lastChanged = new Set<string>();
  #report: MirrorReport | undefined;
  #content: { readonly digest: string; readonly bytes: Uint8Array; readonly objects: number } | undefined;

  constructor(options: ClusterMirrorOptions) {
    this.#options = options;
    this.order = options.order;
    this.#kinds = this.#makeKinds();
  }

  report(): MirrorReport | undefined {
    return this.#report;
  }

  content(digest: string): Uint8Array | undefined {
    return this.#content?.digest === digest ? this.#content.bytes : undefined;
  }

  /** What it is composed with may be other than before. */
  lookAgain(): void {
    this.#changed.ring();
  }

  /** Until the signal fires; never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([...this.#kinds.map((kind) => kind.run(signal)), this.#compose(signal)]);
  }

  #makeKinds(): MirroredKind[] {
    const { order } = this;
    const { api, clock, logger } = this.#options;
    const labels = formatLabelSelector(order.selector);
    const onChange = (changed?: string) => this.#note(changed);
    const [first] = order.namespaces;
    const selected = order.namespaces.flatMap((namespace) =>
      order.kinds.map(({ apiVersion, kind }) => ({
        apiVersion,
        kind,
        namespace,
        ...(namespace === first ? {} : { manifestNamespace: namespace }),
        select: { labels },
      })),
    );
    const secrets = order.secrets.map((name) => ({
      apiVersion: 'v1',
      kind: 'Secret',
      namespace: first ?? '',
      select: { name },
    }));
    const goneMs = order.settleSeconds * 1000 * goneSettles;
    return [...selected, ...secrets].map(
      (one) => new MirroredKind({ ...one, api, clock, logger, goneMs, onChange }),
    );
  }

  #note(changed: string | undefined): void {
    if (changed !== undefined) {
      this.#changes += 1;
      this.#restlessSince ??= this.#options.clock.now().getTime();
      this.#lastChanged.delete(changed);
      this.#lastChanged.add(changed);
    }
    this.#changed.ring();
  }

  async #compose(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    const settleMs = this.order.settleSeconds * 1000;
    let isSure = true;
    while (!signal.aborted) {
      const over = new AbortController();
      const either = AbortSignal.any([signal, over.signal]);
      const waits = [this.#changed.wait(either)];
      if (!isSure) waits.push(clock.sleep(lookAgainMs, either));
      await Promise.race(waits);
      over.abort();
      if (signal.aborted) return;
      await this.#settle(settleMs, signal);
      if (!signal.aborted) isSure = this.#look();
    }
  }

  /** Returns when nothing has changed for so long. */
  async #settle(settleMs: number, signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    for (;;) {
      const seen = this.#changes;
      await clock.sleep(settleMs, signal);
      if (signal.aborted || seen === this.#changes) break;
      const restlessFor = clock.now().getTime() - (this.#restlessSince ?? Number.POSITIVE_INFINITY);
      if (restlessFor >= restlessMs) this.#say(this.#restless(settleMs));
    }
    this.#restlessSince = undefined;
  }

  /** @returns whether there is nothing to do until something changes. */
  #look(): boolean {
    const fault = this.#fault();
    if (fault !== undefined) {
      this.#say({ digest: '', objects: 0, message: fault });
      return true;
    }
    if (!this.#kinds.every((kind) => kind.isKnown)) return false;
    const manifests = this.#kinds.flatMap((kind) => kind.manifests());
    const classes = this.#options.defaultStorageClasses();
    const needsClasses = manifests.some(({ kind }) => kind === 'PersistentVolumeClaim');
    if (classes === undefined && needsClasses) return false;
    const doubt = this.#missingSecret() ?? pausedText(manifests);
    this.#lastChanged.clear();
    if (doubt === undefined) this.#take(manifests, classes ?? new Set());
    else this.#say({ digest: '', objects: 0, message: doubt });
    return !this.#kinds.some((kind) => kind.isLosing);
  }

  #take(manifests: readonly KubeObject[], classes: ReadonlySet<string>): void {
    const { objects, bytes } = composeMirror(manifests, classes);
    if (bytes.length > manifestsLimitBytes) {
      const message = `${objects} objects of ${inMebibytes(bytes.length)} are selected, the limit is ${inMebibytes(manifestsLimitBytes)}: select fewer, by labels, kinds or namespaces, or make several applications of them`;
      this.#say({ digest: '', objects: 0, message });
      return;
    }
    const digest = sha256Digest(bytes);
    this.#content = { digest, bytes, objects };
    const ours = this.#kinds.flatMap((kind) => kind.leftOut('OfSelvedge'));
    const message =
      ours.length === 0
        ? {}
        : {
            message: `left out, for Selvedge brought them there itself (place that application at the other sites instead): ${shownList(ours)}`,
          };
    this.#say({ digest, objects, ...message });
  }

  #fault(): string | undefined {
    for (const kind of this.#kinds) {
      const fault = kind.fault();
      if (fault !== undefined) return fault;
    }
    return undefined;
  }

  /** A Secret that was named and is gone is no reason to take it away from others. */
  #missingSecret(): string | undefined {
    const found = new Set(
      this.#kinds
        .flatMap((kind) => kind.manifests())
        .flatMap(({ kind, metadata }) => (kind === 'Secret' ? metadata.name : [])),
    );
    const missing = this.order.secrets.filter((name) => !found.has(name));
    if (missing.length === 0) return undefined;
    return `Secret ${missing.join(', ')} in namespace ${this.order.namespaces[0] ?? ''} is not there, or not one that another cluster can use: make it, or take it out of the secrets of the mirror`;
  }

  #restless(settleMs: number): Said {
    const { digest = '', objects = 0 } = this.#content ?? {};
    const which = shownList([...this.#lastChanged].slice(-3));
    const message = `it never stands still for ${settleMs / 1000} s, so no change is taken: ${which} changes again and again; leave it out by labels`;
    return { digest, objects, message };
  }

  #say(said: Said): void {
    const { clock, logger, onChange } = this.#options;
    const before = this.#report;
    const message = said.message?.slice(0, longestMessage);
    const report = {
      uid: this.order.uid,
      order: mirrorOrderDigest(this.order),
      digest: said.digest,
      objects: said.objects,
      ...(message === undefined ? {} : { message }),
      observedTime: clock.now().toISOString(),
    };
    this.#report = report;
    const isSame =
      before?.digest === report.digest && before.objects === report.objects && before.message === message;
    if (isSame) return;
    const fields = {
      application: this.order.uid,
      objects: said.objects,
      ...(message === undefined ? {} : { message }),
    };
    if (said.digest === '') logger.warn('a mirror cannot be read', fields);
    else logger.info('a mirror has other content', fields);
    onChange();
  }
}

const longestMessage = 1000;

/** Somebody is in the middle of several changes. */
function pausedText(manifests: readonly KubeObject[]): string | undefined {
  const paused = manifests.filter(
    ({ kind, spec }) => kind === 'Deployment' && fieldOf(spec, 'paused') === true,
  );
  if (paused.length === 0) return undefined;
  const which = shownList(paused.map(({ metadata }) => `Deployment/${metadata.name}`));
  return `${which} is paused there (spec.paused), so no change is taken: kubectl rollout resume lets it go on`;
}

function shownList(names: readonly string[]): string {
  const shown = names.slice(0, 10).join(', ');
  return names.length > 10 ? `${shown} and ${names.length - 10} more` : shown;
}

function inMebibytes(bytes: number): string {
  return `${(Math.ceil((bytes * 10) / 1024 / 1024) / 10).toFixed(1)} MiB`;
}
