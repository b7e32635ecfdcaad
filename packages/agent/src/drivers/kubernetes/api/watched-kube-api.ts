import { type Clock, StatusError } from '@selvedge/api';
import { isApiAway } from './api-away.ts';
import type { ApiRequest, ApiResource, KubeApi } from './kube-api.ts';
import { ApiUnreachable } from './kube-connection.ts';

/** A `KubeApi` that notes whether the API answers. */
export class WatchedKubeApi implements KubeApi {
  readonly #api: KubeApi;
  readonly #clock: Clock;
  readonly #onChange: () => void;
  #awaySince: number | undefined;
  #hasAnswered = false;
  #lastError: unknown;

  constructor(api: KubeApi, clock: Clock, onChange: () => void) {
    this.#api = api;
    this.#clock = clock;
    this.#onChange = onChange;
  }

  /** Since when it does not answer (ms); undefined while it does. */
  get awaySince(): number | undefined {
    return this.#awaySince;
  }

  /** It has answered at least once. */
  get hasAnswered(): boolean {
    return this.#hasAnswered;
  }

  get lastError(): string {
    return this.#lastError instanceof Error ? this.#lastError.message : 'the cluster does not answer';
  }

  async json<T>(request: ApiRequest): Promise<T> {
    return await this.#note(() => this.#api.json<T>(request), apiVersionOf(request.path), request);
  }

  async *lines(
    request: ApiRequest & { readonly idleMs: number; readonly signal: AbortSignal },
  ): AsyncGenerator<string> {
    try {
      yield* this.#api.lines(request);
    } catch (error) {
      if (!request.signal.aborted) this.#noteError(error, apiVersionOf(request.path));
      throw error;
    }
  }

  /** Mostly from memory: that it is found says nothing of whether the API answers. */
  async findResource(
    apiVersion: string,
    kind: string,
    options?: { refresh?: boolean },
  ): Promise<ApiResource | undefined> {
    try {
      return await this.#api.findResource(apiVersion, kind, options);
    } catch (error) {
      this.#noteError(error, apiVersion);
      throw error;
    }
  }

  version(): Promise<{ gitVersion: string; platform?: string }> {
    return this.#note(() => this.#api.version(), 'v1');
  }

  close(): void {
    this.#api.close();
  }

  async #note<T>(
    ask: () => Promise<T>,
    apiVersion: string,
    { signal, isOptional }: Pick<ApiRequest, 'signal' | 'isOptional'> = {},
  ): Promise<T> {
    try {
      const answer = await ask();
      this.#noteAnswer();
      return answer;
    } catch (error) {
      const isAnswered = isOptional === true && !(error instanceof ApiUnreachable);
      if (signal?.aborted !== true && !isAnswered) this.#noteError(error, apiVersion);
      throw error;
    }
  }

  #noteAnswer(): void {
    this.#hasAnswered = true;
    if (this.#awaySince === undefined) return;
    this.#awaySince = undefined;
    this.#onChange();
  }

  #noteError(error: unknown, apiVersion: string): void {
    if (!isApiAway(error, apiVersion)) {
      if (error instanceof StatusError) this.#noteAnswer();
      return;
    }
    this.#lastError = error;
    if (this.#awaySince !== undefined) return;
    this.#awaySince = this.#clock.now().getTime();
    this.#onChange();
  }
}

/** `/apis/apps/v1/…` is of `apps/v1`. */
function apiVersionOf(path: string): string {
  const [root, first = '', second = ''] = path.split('/').filter((part) => part !== '');
  return root === 'apis' ? `${first}/${second}` : first;
}
