import { isDeepStrictEqual } from 'node:util';
import type { Clock, KubeObject, Logger } from '@selvedge/api';
import type { KubeApi } from '../api/kube-api.ts';
import { KindWatch } from '../observe/kind-watch.ts';
import { type LeftOut, whyLeftOut } from './strip/left-out.ts';
import { stripObject } from './strip/strip-object.ts';

export interface MirroredKindOptions {
  readonly api: KubeApi;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespace: string;
  /** That manifests are to name; absent: none. */
  readonly manifestNamespace?: string;
  /** Selects by labels, or the one object of this name. */
  readonly select: { readonly labels: string } | { readonly name: string };
  /** So long an object that is gone still counts: one that is deleted and made anew was never gone for others. */
  readonly goneMs: number;
  /** Something may be other than before. `changed`: the manifest that is. */
  readonly onChange: (changed?: string) => void;
}

/** Away for so long is no passing weakness of the API. */
const awayGraceMs = 30_000;

/** Objects of one kind in one namespace that a mirror selects, as manifests; followed for ever. */
export class MirroredKind {
  readonly #options: MirroredKindOptions;
  readonly #watch: KindWatch;
  readonly #known = new Map<string, KubeObject | LeftOut>();
  /** Since when manifests that still count are gone (ms). */
  readonly #gone = new Map<string, { readonly manifest: KubeObject; readonly since: number }>();
  #named = new Set<string>();
  #isListing = true;
  #awaySince: number | undefined;

  constructor(options: MirroredKindOptions) {
    const { api, clock, logger, apiVersion, kind, namespace, select, onChange } = options;
    this.#options = options;
    const chosen =
      'name' in select ? { fieldSelector: `metadata.name=${select.name}` } : labelsOf(select.labels);
    this.#watch = new KindWatch({
      api,
      clock,
      logger,
      apiVersion,
      kind,
      namespace,
      ...chosen,
      whole: true,
      onObject: (object) => this.#put(object),
      onDeleted: ({ name }) => {
        this.#named.delete(name);
        this.#lose(name);
      },
      onListing: () => {
        this.#named = new Set();
        this.#isListing = true;
      },
      onListed: () => this.#endList(),
      onState: (state) => {
        if (state === 'Watching') this.#awaySince = undefined;
        else this.#awaySince ??= clock.now().getTime();
        onChange();
      },
    });
  }

  /** All that is there is known as it is now. */
  get isKnown(): boolean {
    return !this.#isListing && this.#watch.state === 'Watching';
  }

  /** Why it cannot be read, for people; undefined: it can, or will be in a moment. */
  fault(): string | undefined {
    const { kind, apiVersion, namespace, clock } = this.#options;
    const { state, message = '', resource } = this.#watch;
    if (resource?.namespaced === false) {
      return `${kind} in ${apiVersion} is of no namespace: only what is in a namespace can be mirrored`;
    }
    if (state === 'Forbidden') {
      return `the agent may not list and watch ${kind} in namespace ${namespace}: ${message}`;
    }
    if (state === 'Gone') return `${message}: take it out of the kinds of the mirror, or install it there`;
    if (state !== 'Away') return undefined;
    const isLasting = clock.now().getTime() - (this.#awaySince ?? 0) >= awayGraceMs;
    return isLasting ? `the API of the cluster does not answer: ${message}` : undefined;
  }

  manifests(): KubeObject[] {
    const { clock, goneMs } = this.#options;
    const now = clock.now().getTime();
    for (const [name, { since }] of this.#gone) if (now - since >= goneMs) this.#gone.delete(name);
    const present = [...this.#known.values()].filter((one): one is KubeObject => typeof one !== 'string');
    return [...present, ...[...this.#gone.values()].map(({ manifest }) => manifest)];
  }

  /** Something that is gone still counts. */
  get isLosing(): boolean {
    return this.#gone.size > 0;
  }

  /** `Kind/name` of objects that were left out for this reason. */
  leftOut(reason: LeftOut): string[] {
    return [...this.#known].flatMap(([name, one]) => (one === reason ? [this.#shown(name)] : []));
  }

  run(signal: AbortSignal): Promise<void> {
    return this.#watch.run(signal);
  }

  #put(object: KubeObject): void {
    const { name } = object.metadata;
    const { select, manifestNamespace, onChange } = this.#options;
    // A server that does not know the selector must not make other objects part of it.
    if ('name' in select && select.name !== name) return;
    this.#named.add(name);
    const next = whyLeftOut(object) ?? stripObject(object, manifestNamespace);
    if (isDeepStrictEqual(this.#known.get(name), next)) return;
    if (typeof next === 'string') this.#lose(name);
    this.#known.set(name, next);
    if (typeof next === 'string') return;
    this.#gone.delete(name);
    onChange(this.#shown(name));
  }

  #lose(name: string): void {
    const { clock, onChange } = this.#options;
    const manifest = this.#known.get(name);
    this.#known.delete(name);
    if (typeof manifest !== 'object') return;
    this.#gone.set(name, { manifest, since: clock.now().getTime() });
    onChange(this.#shown(name));
  }

  #endList(): void {
    for (const name of this.#known.keys()) if (!this.#named.has(name)) this.#lose(name);
    this.#isListing = false;
    this.#options.onChange();
  }

  #shown(name: string): string {
    const { kind, manifestNamespace } = this.#options;
    return manifestNamespace === undefined ? `${kind}/${name}` : `${kind}/${manifestNamespace}/${name}`;
  }
}

function labelsOf(text: string): { labelSelector?: string } {
  return text === '' ? {} : { labelSelector: text };
}
