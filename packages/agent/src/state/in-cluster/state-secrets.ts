import { promisify } from 'node:util';
import { isAlreadyExists, isConflict, isNotFound, type KubeObject, StatusError } from '@selvedge/api';
import { sha256Digest } from '@selvedge/api/node';
import type { KubeApi } from '../../drivers/kubernetes/api/kube-api.ts';

/** What is kept, and where; the one object whose change is the change of everything. */
export interface StateIndex {
  readonly version: 1;
  /** One more with each write. */
  readonly generation: number;
  /** Lease identity of the agent that wrote it. */
  readonly writer: string;
  readonly snapshot: Blob;
  /** Manifests by digest. */
  readonly content: Readonly<Record<string, Blob>>;
}

/** Bytes in Secrets: their digest before compression, and the names of the parts in order. */
export interface Blob {
  readonly digest: string;
  readonly parts: readonly string[];
}

export interface KeptIndex {
  readonly index: StateIndex;
  readonly resourceVersion: string;
}

interface Secret extends KubeObject {
  data?: Record<string, string>;
}

/** Below the 1 MiB that a Secret may have. */
const partBytes = 900 * 1024;
const label = 'selvedge.dev/agent-state';
const indexName = 'selvedge-agent-state';
const requestMs = 15_000;

/**
 * State as Secrets of the agent's namespace. Parts are named after what they hold and never changed; the index is written last, only
 * over the one that was read, and what it no longer names is removed after.
 */
export class StateSecrets {
  readonly #api: KubeApi;
  readonly #namespace: string;
  readonly #path: string;

  constructor(options: { api: KubeApi; namespace: string }) {
    this.#api = options.api;
    this.#namespace = options.namespace;
    this.#path = `/api/v1/namespaces/${options.namespace}/secrets`;
  }

  /** For messages. */
  get indexName(): string {
    return `Secret ${this.#namespace}/${indexName}`;
  }

  /** Undefined: nothing was ever kept, as the API itself says. */
  async findIndex(signal: AbortSignal): Promise<KeptIndex | undefined> {
    const secret = await this.#find(indexName, signal);
    if (secret === undefined) return undefined;
    const { resourceVersion = '' } = secret.metadata;
    try {
      const index = JSON.parse(
        Buffer.from(secret.data?.['index'] ?? '', 'base64').toString('utf8'),
      ) as StateIndex;
      if (index.version === 1) return { index, resourceVersion };
    } catch {
      throw this.#damaged(indexName);
    }
    throw new Error(`${this.indexName} was written by a newer agent; install that version or a later one`);
  }

  /** Throws when a part is missing or is not what the index says. */
  async read(blob: Blob, signal: AbortSignal): Promise<Buffer> {
    const parts: Buffer[] = [];
    for (const name of blob.parts) {
      const data = (await this.#find(name, signal))?.data?.['part'];
      if (data === undefined) throw this.#damaged(name);
      parts.push(Buffer.from(data, 'base64'));
    }
    const { gunzip } = await import('node:zlib');
    const bytes = await promisify(gunzip)(Buffer.concat(parts)).catch(() => undefined);
    if (bytes === undefined || sha256Digest(bytes) !== blob.digest)
      throw this.#damaged(blob.parts.join(', '));
    return bytes;
  }

  /** Writes the parts of a blob; those that are there already stay. */
  async write(bytes: Buffer, signal: AbortSignal): Promise<Blob> {
    const { gzip } = await import('node:zlib');
    const packed = await promisify<Buffer, Buffer>(gzip)(bytes);
    const parts: string[] = [];
    for (let at = 0; at < packed.length; at += partBytes) {
      const part = packed.subarray(at, at + partBytes);
      const name = `${indexName}-${sha256Digest(part).slice('sha256:'.length, 'sha256:'.length + 32)}`;
      parts.push(name);
      try {
        await this.#create(
          name,
          { part: part.toString('base64') },
          { kind: 'part', immutable: true, signal },
        );
      } catch (error) {
        if (!isAlreadyExists(error)) throw error;
      }
    }
    return { digest: sha256Digest(bytes), parts };
  }

  /** The switch. Throws Conflict when the index is not the one that `former` was read from. @returns the new resourceVersion. */
  async writeIndex(index: StateIndex, former: KeptIndex | undefined, signal: AbortSignal): Promise<string> {
    const data = { index: Buffer.from(JSON.stringify(index)).toString('base64') };
    if (former === undefined)
      return this.#create(indexName, data, { kind: 'index', immutable: false, signal });
    const secret = {
      ...this.#secret(indexName, data, 'index'),
      metadata: {
        ...this.#secret(indexName, data, 'index').metadata,
        resourceVersion: former.resourceVersion,
      },
    };
    const written = await this.#ask<Secret>('PUT', `${this.#path}/${indexName}`, { body: secret, signal });
    return written.metadata.resourceVersion ?? '';
  }

  /** Names of all parts that are there. */
  async listParts(signal: AbortSignal): Promise<string[]> {
    const list = await this.#api.json<{ items: KubeObject[] | null }>({
      method: 'GET',
      path: this.#path,
      query: { labelSelector: `${label}=part` },
      // Names are enough.
      accept: 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json',
      signal: AbortSignal.any([signal, AbortSignal.timeout(requestMs)]),
    });
    // An empty list of Go is null.
    return (list.items ?? []).map((item) => item.metadata.name);
  }

  async remove(parts: readonly string[], signal: AbortSignal): Promise<void> {
    for (const name of parts) {
      try {
        await this.#ask('DELETE', `${this.#path}/${name}`, { signal });
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
    }
  }

  async #find(name: string, signal: AbortSignal): Promise<Secret | undefined> {
    try {
      return await this.#ask<Secret>('GET', `${this.#path}/${name}`, { signal });
    } catch (error) {
      if (isNotFound(error) && error instanceof StatusError && error.details.name === name) return undefined;
      throw error;
    }
  }

  async #create(
    name: string,
    data: Record<string, string>,
    options: { kind: 'index' | 'part'; immutable: boolean; signal: AbortSignal },
  ): Promise<string> {
    const secret = this.#secret(name, data, options.kind);
    const body = options.immutable ? { ...secret, immutable: true } : secret;
    const made = await this.#ask<Secret>('POST', this.#path, { body, signal: options.signal });
    return made.metadata.resourceVersion ?? '';
  }

  #secret(name: string, data: Record<string, string>, kind: 'index' | 'part'): Secret & { type: string } {
    const labels = { [label]: kind, 'app.kubernetes.io/managed-by': 'selvedge-agent' };
    return {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name, namespace: this.#namespace, labels },
      type: 'selvedge.dev/agent-state',
      data,
    };
  }

  #ask<T = KubeObject>(
    method: 'GET' | 'POST' | 'PUT' | 'DELETE',
    path: string,
    { body, signal }: { body?: unknown; signal: AbortSignal },
  ): Promise<T> {
    const bounded = AbortSignal.any([signal, AbortSignal.timeout(requestMs)]);
    return this.#api.json<T>({ method, path, signal: bounded, ...(body === undefined ? {} : { body }) });
  }

  #damaged(name: string): Error {
    return new Error(
      `the kept state of this agent is damaged (Secret ${name} in namespace ${this.#namespace}): restore it from a backup, or delete ${this.indexName} and enrol again with a new token; applications go on running meanwhile`,
    );
  }
}

/** Somebody else wrote the index since it was read. */
export function isOvertaken(error: unknown): boolean {
  return isConflict(error) || isAlreadyExists(error) || isNotFound(error);
}
