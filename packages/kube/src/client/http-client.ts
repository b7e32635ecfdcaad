import {
  isExpired,
  isNotFound,
  type KubeObject,
  type ListOptions,
  type ObjectClient,
  type ObjectList,
  type ObjectName,
  type ResourceRef,
  StatusError,
  type WatchEvent,
} from '@selvedge/api';
import { createConnection, type HttpConnection, type HttpConnectionOptions } from './http-connection.ts';
import type { Kubeconfig } from './kubeconfig.ts';
import { resourcePath } from './resource-path.ts';
import { readWatchEvents } from './watch-stream.ts';

export interface RawRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** As `resourcePath` makes it. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | undefined>>;
  readonly body?: unknown;
  /** Of the body; `application/json` by default. */
  readonly contentType?: string;
  /** What is asked for, as in the header; `application/json` by default. The answer is JSON in any case. */
  readonly accept?: string;
}

export interface Download {
  /** Default: GET. */
  readonly method?: 'GET' | 'POST';
  readonly path: string;
  readonly query?: Readonly<Record<string, string | undefined>>;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** Longest silence before the connection counts as dead; 0: any. */
  readonly idleMilliseconds: number;
  readonly signal: AbortSignal;
}

export interface HttpClient extends ObjectClient {
  /** Address of the server, for messages. */
  readonly server: string;
  /** Lists and watches objects without what is in them: only their metadata comes. For those who only have to know that something changed. */
  readonly metadata: Pick<ObjectClient, 'list' | 'watch'>;
  /** Any request of the API, as a POST to a subresource. Throws StatusError. */
  request<T>(request: RawRequest): Promise<T>;
  /** Body of an answer as it comes, for an answer that is no object; ends quietly when the signal fires. Throws StatusError. */
  download(request: Download): AsyncIterable<Uint8Array>;
  /** Ends idle connections and lets running requests finish; watches have to be ended by their signal. */
  close(): Promise<void>;
}

export type HttpClientOptions = ({ readonly kubeconfig: Kubeconfig } | HttpConnectionOptions) & {
  /** Without it a kubeconfig that asks for no verification of the server is refused. */
  readonly allowInsecure?: boolean;
  readonly random?: () => number;
};

/** Items per request of a list; the pages are of one revision. */
const pageSize = 1000;
/** The server is asked to end a watch after 5 to 10 minutes, so a link that died without a word is noticed. */
const watchSeconds = { min: 300, spread: 300 };

export function createHttpClient(options: HttpClientOptions): HttpClient {
  return new UndiciObjectClient(createConnection(connectionOptions(options)), options.random ?? Math.random);
}

function connectionOptions(options: HttpClientOptions): HttpConnectionOptions {
  if (!('kubeconfig' in options)) return options;
  const { kubeconfig } = options;
  if (kubeconfig.insecureSkipTlsVerify && options.allowInsecure !== true) {
    throw new StatusError(
      'BadRequest',
      `kubeconfig ${kubeconfig.path}: insecure-skip-tls-verify is refused: anyone on the way could read and change everything; put the server's authority into certificate-authority-data, or allow it expressly`,
    );
  }
  return kubeconfig;
}

const metadataForms = {
  list: 'application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io',
  watch: 'application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io',
} as const;

class UndiciObjectClient implements HttpClient {
  readonly #connection: HttpConnection;
  readonly #random: () => number;
  readonly #isOnlyMetadata: boolean;

  constructor(connection: HttpConnection, random: () => number, isOnlyMetadata = false) {
    this.#connection = connection;
    this.#random = random;
    this.#isOnlyMetadata = isOnlyMetadata;
  }

  get metadata(): Pick<ObjectClient, 'list' | 'watch'> {
    return new UndiciObjectClient(this.#connection, this.#random, true);
  }

  get server(): string {
    return this.#connection.server;
  }

  async request<T>(request: RawRequest): Promise<T> {
    return (await this.#connection.json(request)) as T;
  }

  download(request: Download): AsyncIterable<Uint8Array> {
    return this.#connection.stream({ ...request, query: request.query ?? {} });
  }

  get<T extends KubeObject>(resource: ResourceRef, name: ObjectName): Promise<T> {
    return this.request({ method: 'GET', path: resourcePath(resource, name) });
  }

  async find<T extends KubeObject>(resource: ResourceRef, name: ObjectName): Promise<T | undefined> {
    try {
      return await this.get<T>(resource, name);
    } catch (error) {
      // Only "this object is not there": a 404 for the kind itself, or from some other server, is a failure.
      if (isNotFound(error) && error.details.name === name.name) return undefined;
      throw error;
    }
  }

  async list<T extends KubeObject>(resource: ResourceRef, options: ListOptions = {}): Promise<ObjectList<T>> {
    const first = await this.#listPage<T>(resource, options, { limit: String(pageSize) });
    const items = first.items;
    let next = first.metadata.continue;
    while (next) {
      try {
        const page = await this.#listPage<T>(resource, options, { limit: String(pageSize), continue: next });
        for (const item of page.items) items.push(item);
        next = page.metadata.continue;
      } catch (error) {
        if (!isExpired(error)) throw error;
        // The revision of the first page is gone: one whole list, as client-go does.
        return this.#listPage<T>(resource, options, {});
      }
    }
    return {
      apiVersion: first.apiVersion,
      kind: first.kind,
      metadata: { resourceVersion: first.metadata.resourceVersion },
      items,
    };
  }

  async #listPage<T extends KubeObject>(
    resource: ResourceRef,
    options: ListOptions,
    page: { limit?: string; continue?: string },
  ): Promise<ObjectList<T>> {
    const path = resourcePath(resource, options);
    const list = await this.request<ObjectList<T>>({
      method: 'GET',
      path,
      query: { ...selectors(options), ...page },
      ...(this.#isOnlyMetadata ? { accept: metadataForms.list } : {}),
    });
    if (!Array.isArray(list.items)) {
      throw new StatusError(
        'InternalError',
        `${this.server} answered ${path} with something that is not a list`,
      );
    }
    const { project } = options;
    return project === undefined ? list : { ...list, items: list.items.map((item) => project(item) as T) };
  }

  async *watch<T extends KubeObject>(
    resource: ResourceRef,
    options: ListOptions & { resourceVersion: string; signal: AbortSignal },
  ): AsyncGenerator<WatchEvent<T>> {
    const timeoutSeconds = Math.round(watchSeconds.min + this.#random() * watchSeconds.spread);
    const chunks = this.#connection.stream({
      path: resourcePath(resource, options),
      query: {
        ...selectors(options),
        watch: 'true',
        allowWatchBookmarks: 'true',
        resourceVersion: options.resourceVersion,
        timeoutSeconds: String(timeoutSeconds),
      },
      idleMilliseconds: (timeoutSeconds + 30) * 1000,
      signal: options.signal,
      ...(this.#isOnlyMetadata ? { accept: metadataForms.watch } : {}),
    });
    yield* readWatchEvents<T>(chunks);
  }

  create<T extends KubeObject>(resource: ResourceRef, object: T): Promise<T> {
    const { namespace } = object.metadata;
    const path = resourcePath(resource, namespace === undefined ? {} : { namespace });
    return this.request({ method: 'POST', path, body: object });
  }

  update<T extends KubeObject>(resource: ResourceRef, object: T): Promise<T> {
    return this.request({ method: 'PUT', path: resourcePath(resource, nameOf(object)), body: object });
  }

  updateStatus<T extends KubeObject>(resource: ResourceRef, object: T): Promise<T> {
    const path = resourcePath(resource, { ...nameOf(object), subresource: 'status' });
    return this.request({ method: 'PUT', path, body: object });
  }

  mergePatch<T extends KubeObject>(
    resource: ResourceRef,
    name: ObjectName,
    ...[patch, options]: [unknown, { subresource?: 'status'; fieldManager?: string }?]
  ): Promise<T> {
    const { subresource, fieldManager } = options ?? {};
    return this.request({
      method: 'PATCH',
      path: resourcePath(resource, { ...name, ...(subresource ? { subresource } : {}) }),
      query: { fieldManager },
      body: patch,
      contentType: 'application/merge-patch+json',
    });
  }

  apply<T extends KubeObject>(
    resource: ResourceRef,
    object: T,
    options: { fieldManager: string; force?: boolean },
  ): Promise<T> {
    return this.request({
      method: 'PATCH',
      path: resourcePath(resource, nameOf(object)),
      query: { fieldManager: options.fieldManager, force: options.force === true ? 'true' : undefined },
      body: object,
      contentType: 'application/apply-patch+yaml',
    });
  }

  async delete(
    resource: ResourceRef,
    name: ObjectName,
    options: { preconditions?: { uid?: string; resourceVersion?: string } } = {},
  ): Promise<void> {
    const { preconditions } = options;
    await this.request({
      method: 'DELETE',
      path: resourcePath(resource, name),
      ...(preconditions ? { body: { kind: 'DeleteOptions', apiVersion: 'v1', preconditions } } : {}),
    });
  }

  close(): Promise<void> {
    return this.#connection.close();
  }
}

function nameOf(object: KubeObject): ObjectName {
  const { name, namespace } = object.metadata;
  return namespace === undefined ? { name } : { namespace, name };
}

function selectors(options: ListOptions): Record<string, string | undefined> {
  return { labelSelector: options.labelSelector, fieldSelector: options.fieldSelector };
}
