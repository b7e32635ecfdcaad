import type { KubeObject } from '@selvedge/api';

/** One resource of the API as discovery tells of it. */
export interface ApiResource {
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
  readonly namespaced: boolean;
  readonly verbs: readonly string[];
}

export interface ApiRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Encoded; without the query. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | undefined>>;
  readonly body?: unknown;
  readonly contentType?: string;
  readonly accept?: string;
  readonly signal?: AbortSignal;
  /** Of an API that may be down without the cluster being so: served by others than the API server itself. */
  readonly isOptional?: boolean;
  /** Called before each try: throws when the request must not be made (any more). */
  readonly assertAllowed?: () => void;
}

/**
 * The site's Kubernetes API, lean: HTTPS on kept connections, JSON, bounded waits. Throws StatusError only; `ServiceUnavailable` when it cannot be reached.
 * 429 and its Retry-After are obeyed inside, a few times.
 */
export interface KubeApi {
  json<T = KubeObject>(request: ApiRequest): Promise<T>;
  /** Lines of a streamed answer (watch, log); ends quietly with the signal. `idleMs`: longest silence before it counts as dead. */
  lines(
    request: ApiRequest & { readonly idleMs: number; readonly signal: AbortSignal },
  ): AsyncGenerator<string>;
  /** The resource of a kind; undefined when the API has none. Remembered; `refresh` asks again (a CRD has come). */
  findResource(
    apiVersion: string,
    kind: string,
    options?: { refresh?: boolean },
  ): Promise<ApiResource | undefined>;
  version(): Promise<{ gitVersion: string; platform?: string }>;
  close(): void;
}
