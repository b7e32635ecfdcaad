import assert from 'node:assert/strict';
import type { KubeObject, StatusBody } from '@selvedge/api';

export interface MirrorScope {
  /** Collection, as `/api/v1/configmaps`. */
  readonly path: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
}

export interface MirrorOptions {
  readonly scope: MirrorScope;
  /** Begin with a streaming list instead of list and watch. */
  readonly isStreaming: boolean;
  /** Where the server is now. */
  readonly url: () => string;
  readonly signal: AbortSignal;
}

interface WatchLine {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  readonly object: KubeObject & StatusBody;
}

export type ObjectsByName = Map<string, KubeObject>;

/** Throws when the answer is none of a good server: what it is called when there is none (a restart) is no matter. */
export class Unreachable extends Error {}

/**
 * What a client knows that lists and watches over HTTP as informers do: it goes on from its last revision when a
 * connection ends, and lists again on 410. Whatever does not fit together fails.
 */
export class Mirror {
  readonly #o: MirrorOptions;
  #state: ObjectsByName = new Map();
  #revision: number | undefined;
  #connection = new AbortController();
  /** After each event: the state must then be that of the revision. */
  onEvent: (revision: number, state: ObjectsByName) => void = () => {};
  lists = 0;
  watches = 0;
  events = 0;

  constructor(options: MirrorOptions) {
    this.#o = options;
  }

  get revision(): number {
    return this.#revision ?? 0;
  }

  get state(): ObjectsByName {
    return this.#state;
  }

  /** Loses its connection, and makes another. */
  cut(): void {
    this.#connection.abort();
  }

  /** Until the signal fires. Throws what a client could not make sense of. */
  async run(): Promise<void> {
    const { signal, isStreaming } = this.#o;
    while (!signal.aborted) {
      this.#connection = new AbortController();
      try {
        if (this.#revision === undefined && !isStreaming) await this.#list();
        await this.#watch(AbortSignal.any([signal, this.#connection.signal]));
      } catch (error) {
        if (!(error instanceof Unreachable)) throw error;
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
  }

  async #list(): Promise<void> {
    this.lists += 1;
    const list = await listOf(this.#o.url(), this.#o.scope);
    assert.ok(list, 'a list of now is never too old');
    this.#state = list.state;
    this.#revision = list.revision;
    this.onEvent(list.revision, this.#state);
  }

  async #watch(signal: AbortSignal): Promise<void> {
    this.watches += 1;
    const begin =
      this.#revision === undefined
        ? { sendInitialEvents: 'true', resourceVersionMatch: 'NotOlderThan' }
        : { resourceVersion: String(this.#revision) };
    const query = { watch: 'true', allowWatchBookmarks: 'true', ...begin };
    const initial = this.#revision === undefined ? new Map<string, KubeObject>() : undefined;
    const answer = await reach(urlOf(this.#o.url(), this.#o.scope, query), signal);
    assert.equal(answer.status, 200);
    try {
      for await (const line of linesOf(answer)) {
        if (this.#take(JSON.parse(line) as WatchLine, initial) === 'ended') return;
      }
    } catch (error) {
      if (error instanceof assert.AssertionError) throw error;
      throw new Unreachable('the watch broke off', { cause: error });
    }
  }

  #take({ type, object }: WatchLine, initial: ObjectsByName | undefined): 'ended' | undefined {
    if (type === 'ERROR') {
      assert.equal(object.code, 410, JSON.stringify(object));
      this.#revision = undefined;
      return 'ended';
    }
    const revision = Number(object.metadata.resourceVersion);
    if (this.#revision === undefined) {
      if (type === 'BOOKMARK') {
        assert.equal(object.metadata.annotations?.['k8s.io/initial-events-end'], 'true');
        this.lists += 1;
        this.#state = initial ?? new Map();
        this.#revision = revision;
        this.onEvent(revision, this.#state);
      } else {
        assert.equal(type, 'ADDED', 'of what is there, before it is all there');
        initial?.set(nameOf(object), object);
      }
      return undefined;
    }
    assert.ok(
      type === 'BOOKMARK' ? revision >= this.#revision : revision > this.#revision,
      `${type} of revision ${revision} behind ${this.#revision}`,
    );
    if (type !== 'BOOKMARK') {
      this.events += 1;
      assert.equal(this.#state.has(nameOf(object)), type !== 'ADDED', `${type} of ${nameOf(object)}`);
      if (type === 'DELETED') this.#state.delete(nameOf(object));
      else this.#state.set(nameOf(object), object);
    }
    this.#revision = revision;
    this.onEvent(revision, this.#state);
    return undefined;
  }
}

/** A list; `undefined` when its revision is compacted. `exactly`: as it was at this revision. */
export async function listOf(
  url: string,
  scope: MirrorScope,
  query: Readonly<Record<string, string>> = {},
): Promise<
  { state: ObjectsByName; revision: number; next: string | undefined; left: number | undefined } | undefined
> {
  const answer = await reach(urlOf(url, scope, query));
  const body = (await answer.json().catch((cause: unknown) => {
    throw new Unreachable('the list broke off', { cause });
  })) as StatusBody & {
    items: KubeObject[];
    metadata: { resourceVersion: string; continue?: string; remainingItemCount?: number };
  };
  if (answer.status === 410) return undefined;
  assert.equal(answer.status, 200, JSON.stringify(body));
  const { resourceVersion, continue: next, remainingItemCount: left } = body.metadata;
  const state = new Map(body.items.map((item) => [nameOf(item), item]));
  assert.equal(state.size, body.items.length, 'no object stands twice in a list');
  return { state, revision: Number(resourceVersion), next, left };
}

export const nameOf = ({ metadata }: KubeObject): string => `${metadata.namespace ?? ''}/${metadata.name}`;

function urlOf(base: string, { path, ...selectors }: MirrorScope, query: Record<string, string>): string {
  return `${base}${path}?${new URLSearchParams({ ...selectors, ...query }).toString()}`;
}

async function reach(url: string, signal?: AbortSignal): Promise<Response> {
  try {
    return await fetch(url, { headers: { accept: 'application/json' }, ...(signal ? { signal } : {}) });
  } catch (cause) {
    throw new Unreachable('no answer', { cause });
  }
}

async function* linesOf(answer: Response): AsyncGenerator<string> {
  let rest = '';
  const decoder = new TextDecoder();
  for await (const chunk of answer.body ?? []) {
    const lines = `${rest}${decoder.decode(chunk as Uint8Array, { stream: true })}`.split('\n');
    rest = lines.pop() ?? '';
    yield* lines;
  }
}
