import { isNotFound, type KubeObject, StatusError } from '@selvedge/api';
import type { ApiRequest, ApiResource, KubeApi } from '../api/kube-api.ts';
import { fieldManager } from '../drift/field-set.ts';
import { ApplyError, isKindMissing, shownRef } from './apply-problem.ts';
import type { ObjectRef } from '../release/planned-object.ts';
import { groupOf } from '../release/apply-phase.ts';

const metadataOnly = 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json';
const metadataListOnly = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json';
/** Of one page of a list. */
const pageSize = 200;

export interface ApplyOptions {
  /** Takes fields from whoever has them. */
  readonly force: boolean;
  readonly dryRun?: boolean;
  readonly signal: AbortSignal;
}

/** Objects of the site's API by reference. Writes only while this agent is the one that may. */
export class Cluster {
  readonly api: KubeApi;
  readonly #mayAct: () => boolean;
  readonly #writing: () => AbortSignal | undefined;

  /** `writing`: fires when the right to write ends, and takes writes that are under way with it. */
  constructor(api: KubeApi, mayAct: () => boolean, writing: () => AbortSignal | undefined = () => undefined) {
    this.api = api;
    this.#mayAct = mayAct;
    this.#writing = writing;
  }

  /** Undefined: it, or its kind, is not there. `metadata`: only that part of it is asked for. */
  async find(
    ref: ObjectRef,
    options: { metadata?: boolean; signal?: AbortSignal } = {},
  ): Promise<KubeObject | undefined> {
    const resource = await this.#findResource(ref);
    if (resource === undefined) return undefined;
    try {
      return await this.api.json({
        method: 'GET',
        path: pathOf(resource, ref),
        ...(options.metadata === true ? { accept: metadataOnly } : {}),
        ...(options.signal === undefined ? {} : { signal: options.signal }),
      });
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  /** Server-side apply as `selvedge`. */
  async apply(ref: ObjectRef, object: KubeObject, options: ApplyOptions): Promise<KubeObject> {
    const request = (resource: ApiResource): ApiRequest => ({
      method: 'PATCH',
      path: pathOf(resource, ref),
      query: {
        fieldManager,
        force: options.force ? 'true' : undefined,
        dryRun: options.dryRun === true ? 'All' : undefined,
      },
      contentType: 'application/apply-patch+yaml',
      body: object,
      signal: options.signal,
    });
    const send = async (resource: ApiResource) =>
      options.dryRun === true ? await this.api.json(request(resource)) : await this.#write(request(resource));
    try {
      return await send(await this.#getResource(ref));
    } catch (error) {
      if (!isKindMissing(error)) throw error;
      return await send(await this.#getResource(ref, { refresh: true }));
    }
  }

  /** Whether webhooks and policies would let such an object be made, under another name. Throws what they say. */
  async tryCreation(ref: ObjectRef, object: KubeObject, signal: AbortSignal): Promise<void> {
    const { name, ...metadata } = object.metadata;
    const generateName = `${name.slice(0, 50)}-`;
    await this.api.json({
      method: 'POST',
      path: pathOf(
        await this.#getResource(ref),
        ref.namespace === undefined ? {} : { namespace: ref.namespace },
      ),
      query: { fieldManager, dryRun: 'All' },
      body: { ...object, metadata: { ...metadata, generateName } },
      signal,
    });
  }

  /** Deletes exactly the object that `live` is. @returns whether it has gone, or still has to be waited for. */
  async delete(ref: ObjectRef, live: KubeObject, signal: AbortSignal): Promise<'Gone' | 'Going'> {
    const resource = await this.#findResource(ref);
    if (resource === undefined) return 'Gone';
    const { uid } = live.metadata;
    try {
      const answer = await this.#write({
        method: 'DELETE',
        path: pathOf(resource, ref),
        body: {
          kind: 'DeleteOptions',
          apiVersion: 'v1',
          propagationPolicy: 'Background',
          preconditions: { uid },
        },
        signal,
      });
      // An object in the answer may be waiting for its finalizers; a Status says that it is done.
      return answer.kind === 'Status' ? 'Gone' : 'Going';
    } catch (error) {
      if (isNotFound(error)) return 'Gone';
      // Another object has its name by now.
      const isOther =
        error instanceof StatusError && error.reason === 'Conflict' && /uid/i.test(error.message);
      if (isOther) return 'Gone';
      throw error;
    }
  }

  /** Merges into the object, as `selvedge`; nothing happens when it is not there. */
  async merge(ref: ObjectRef, patch: unknown, signal: AbortSignal): Promise<void> {
    const resource = await this.#findResource(ref);
    if (resource === undefined) return;
    try {
      await this.#write({
        method: 'PATCH',
        path: pathOf(resource, ref),
        query: { fieldManager },
        contentType: 'application/merge-patch+json',
        body: patch,
        signal,
      });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  /** Metadata of all objects of a kind, page by page. */
  async *list(
    resource: ApiResource,
    options: { namespace?: string; labelSelector?: string; signal: AbortSignal },
  ): AsyncGenerator<KubeObject> {
    const apiVersion = resource.group === '' ? resource.version : `${resource.group}/${resource.version}`;
    let next: string | undefined;
    do {
      const page: { items: KubeObject[] | null; metadata?: { continue?: string } } = await this.api.json({
        method: 'GET',
        path: pathOf(resource, options.namespace === undefined ? {} : { namespace: options.namespace }),
        query: { labelSelector: options.labelSelector, limit: String(pageSize), continue: next },
        accept: metadataListOnly,
        signal: options.signal,
      });
      // Go writes an empty list of some kinds as null.
      for (const item of page.items ?? []) yield { ...item, apiVersion, kind: resource.kind };
      next = page.metadata?.continue || undefined;
    } while (next !== undefined);
  }

  /** The resource of `Kind.group` in the version that the API prefers. */
  async findGroupKind(groupKind: string): Promise<ApiResource | undefined> {
    const [kind = '', ...rest] = groupKind.split('.');
    const group = rest.join('.');
    if (group === '') return await this.api.findResource('v1', kind, { refresh: true });
    for (const apiVersion of await this.versionsOf(group)) {
      const resource = await this.api.findResource(apiVersion, kind, { refresh: true });
      if (resource !== undefined) return resource;
    }
    return undefined;
  }

  /** `group/version`, the preferred one first; none when there is no such group. */
  async versionsOf(group: string): Promise<string[]> {
    try {
      const { preferredVersion, versions } = await this.api.json<ApiGroup>({
        method: 'GET',
        path: `/apis/${encodeURIComponent(group)}`,
      });
      return [...new Set([preferredVersion, ...versions].map(({ groupVersion }) => groupVersion))];
    } catch (error) {
      if (isNotFound(error)) return [];
      throw error;
    }
  }

  /** Throws unless this agent may write. */
  assertMayAct(): void {
    if (this.#mayAct()) return;
    throw new ApplyError('LeaseNotHeld', 'this agent does not hold the Lease that lets it write', {
      isLasting: false,
    });
  }

  async #write(request: ApiRequest): Promise<KubeObject> {
    this.assertMayAct();
    const signals = [request.signal, this.#writing()].filter((signal) => signal !== undefined);
    const signal = AbortSignal.any(signals);
    try {
      return await this.api.json({ ...request, signal, assertAllowed: () => this.assertMayAct() });
    } catch (error) {
      if (request.signal?.aborted !== true) this.assertMayAct();
      throw error;
    }
  }

  /** An object may have been applied in a version that its kind has no more. */
  async #findResource(ref: ObjectRef): Promise<ApiResource | undefined> {
    const found = await this.api.findResource(ref.apiVersion, ref.kind);
    if (found !== undefined) return found;
    const group = groupOf(ref.apiVersion);
    return await this.findGroupKind(group === '' ? ref.kind : `${ref.kind}.${group}`);
  }

  async #getResource(ref: ObjectRef, options: { refresh?: boolean } = {}): Promise<ApiResource> {
    const { apiVersion, kind } = ref;
    const found =
      (await this.api.findResource(apiVersion, kind, options)) ??
      (await this.api.findResource(apiVersion, kind, { refresh: true }));
    if (found !== undefined) return found;
    throw new ApplyError(
      'KindUnknown',
      `${shownRef(ref)}: the cluster has no kind ${kind} in ${apiVersion}; it may come with another application, else install its definition`,
      { isLasting: false },
    );
  }
}

export interface ApiGroup {
  readonly name: string;
  readonly preferredVersion: { readonly groupVersion: string };
  readonly versions: readonly { readonly groupVersion: string }[];
}

/** Without a name: of all objects of the kind. */
export function pathOf(resource: ApiResource, at: { namespace?: string; name?: string }): string {
  const base =
    resource.group === '' ? `/api/${resource.version}` : `/apis/${resource.group}/${resource.version}`;
  const namespace =
    resource.namespaced && at.namespace !== undefined
      ? `/namespaces/${encodeURIComponent(at.namespace)}`
      : '';
  const name = at.name === undefined ? '' : `/${encodeURIComponent(at.name)}`;
  return `${base}${namespace}/${resource.plural}${name}`;
}
