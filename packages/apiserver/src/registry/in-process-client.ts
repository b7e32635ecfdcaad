import {
  copyJson,
  type KubeObject,
  type ListOptions,
  type ObjectClient,
  type ObjectList,
  type ObjectName,
  resourceName,
  type ResourceRef,
  StatusError,
  type WatchEvent,
} from '@selvedge/api';
import { authorize } from '../authorization/authorize.ts';
import type { UserInfo } from '../authentication/user-info.ts';
import { applyObject } from './apply.ts';
import { createObject } from './create.ts';
import { deleteObject } from './delete.ts';
import { findObject, getObject } from './get.ts';
import { listObjects } from './list.ts';
import { patchObject } from './patch.ts';
import type { Registry, WriteOptions } from './registry.ts';
import type { Resource } from './resource-catalog.ts';
import { updateObject } from './update.ts';
import { watchObjects } from './watch.ts';

/**
 * The API without the wire: same registry, same rules. Fields that a kind does not have are refused, for here they are
 * a fault of our own program.
 */
export class InProcessClient implements ObjectClient {
  readonly #registry: Registry;
  readonly #user: UserInfo;

  constructor(registry: Registry, user: UserInfo) {
    this.#registry = registry;
    this.#user = user;
  }

  async get<T extends KubeObject>(ref: ResourceRef, name: ObjectName): Promise<T> {
    const resource = this.#enter('get', ref, name);
    return (await getObject(this.#registry, resource, name)) as T;
  }

  async find<T extends KubeObject>(ref: ResourceRef, name: ObjectName): Promise<T | undefined> {
    const resource = this.#enter('get', ref, name);
    return (await findObject(this.#registry, resource, name)) as T | undefined;
  }

  async list<T extends KubeObject>(ref: ResourceRef, options: ListOptions = {}): Promise<ObjectList<T>> {
    const resource = this.#enter('list', ref, options);
    return (await listObjects(this.#registry, resource, options)) as ObjectList<T>;
  }

  async *watch<T extends KubeObject>(
    ref: ResourceRef,
    options: ListOptions & { resourceVersion: string; signal: AbortSignal },
  ): AsyncGenerator<WatchEvent<T>> {
    const resource = this.#enter('watch', ref, options);
    for await (const event of watchObjects(this.#registry, resource, options)) {
      if (event.type === 'BOOKMARK') yield { type: 'BOOKMARK', resourceVersion: String(event.revision) };
      else yield { type: event.type, object: event.object as T };
    }
  }

  async create<T extends KubeObject>(ref: ResourceRef, object: T): Promise<T> {
    const { namespace } = object.metadata;
    const resource = this.#enter('create', ref, { namespace });
    return (await createObject(this.#registry, resource, {
      ...(ref.namespaced ? { namespace } : {}),
      body: copyJson(object),
      options: this.#options(),
    })) as T;
  }

  update<T extends KubeObject>(ref: ResourceRef, object: T): Promise<T> {
    return this.#update(ref, object, 'main');
  }

  updateStatus<T extends KubeObject>(ref: ResourceRef, object: T): Promise<T> {
    return this.#update(ref, object, 'status');
  }

  async mergePatch<T extends KubeObject>(
    ref: ResourceRef,
    name: ObjectName,
    ...[patch, options = {}]: [patch: unknown, options?: { subresource?: 'status'; fieldManager?: string }]
  ): Promise<T> {
    const resource = this.#enter('patch', ref, name);
    return (await patchObject(this.#registry, resource, {
      target: name,
      type: 'merge',
      patch: copyJson(patch),
      part: options.subresource ?? 'main',
      options: this.#options(options.fieldManager),
    })) as T;
  }

  async apply<T extends KubeObject>(
    ref: ResourceRef,
    object: T,
    options: { fieldManager: string; force?: boolean },
  ): Promise<T> {
    const target = nameOf(ref, object);
    const resource = this.#enter('patch', ref, target);
    const applied = await applyObject(this.#registry, resource, {
      target,
      body: copyJson(object),
      part: 'main',
      force: options.force ?? false,
      options: this.#options(options.fieldManager),
    });
    return applied.object as T;
  }

  async delete(
    ref: ResourceRef,
    name: ObjectName,
    options: { preconditions?: { uid?: string; resourceVersion?: string } } = {},
  ): Promise<void> {
    const resource = this.#enter('delete', ref, name);
    await deleteObject(this.#registry, resource, {
      target: name,
      preconditions: options.preconditions,
      dryRun: false,
    });
  }

  async #update<T extends KubeObject>(ref: ResourceRef, object: T, part: 'main' | 'status'): Promise<T> {
    const target = nameOf(ref, object);
    const resource = this.#enter('update', ref, target);
    const body = copyJson(object);
    return (await updateObject(this.#registry, resource, {
      target,
      body,
      part,
      options: this.#options(),
    })) as T;
  }

  #enter(verb: string, ref: ResourceRef, where: { namespace?: string | undefined; name?: string }): Resource {
    const { namespace, name } = where;
    authorize(this.#registry.authorizer, this.#user, {
      verb,
      group: ref.group,
      resource: ref.plural,
      name,
      namespace,
    });
    const resource = this.#registry.catalog.find(ref);
    if (!resource)
      throw new StatusError('NotFound', `the server does not serve ${resourceName(ref)} ${ref.version}`);
    return resource;
  }

  #options(fieldManager = this.#user.name): WriteOptions {
    const warn = (message: string) => this.#registry.logger.warn(message);
    return { user: this.#user, dryRun: false, fieldManager, fieldValidation: 'Strict', warn };
  }
}

function nameOf(ref: ResourceRef, { metadata }: KubeObject): ObjectName {
  const { name, namespace } = metadata;
  return ref.namespaced && namespace !== undefined ? { name, namespace } : { name };
}
