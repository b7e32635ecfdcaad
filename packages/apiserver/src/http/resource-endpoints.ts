import { isNamespaceKind } from '../admission/namespace-object.ts';
import { servedForm } from '../registry/alias.ts';
import { applyObject } from '../registry/apply.ts';
import { answerReview } from '../registry/review.ts';
import { createObject } from '../registry/create.ts';
import { deleteObject } from '../registry/delete.ts';
import { deleteCollection } from '../registry/delete-collection.ts';
import { getObject } from '../registry/get.ts';
import { listPage } from '../registry/list.ts';
import { refuseForce } from './field-manager.ts';
import { patchObject } from '../registry/patch.ts';
import type { Registry } from '../registry/registry.ts';
import type { Resource } from '../registry/resource-catalog.ts';
import { requireStatusSubresource, updateObject } from '../registry/update.ts';
import { readDeleteOptions } from './delete-options.ts';
import { negotiateForm } from './negotiate.ts';
import { readPatchBody } from './patch-body.ts';
import {
  type Call,
  listQueryOf,
  readObjectBody,
  type ResourceRequest,
  targetOf,
  writeOptionsOf,
} from './resource-call.ts';
import { sendJson } from './respond.ts';
import { methodNotAllowed, sendObject, unknownResource } from './send-object.ts';
import { sendList } from './send-list.ts';
import { serveWatch } from './serve-watch.ts';
import { answerSubresource } from './subresource-endpoints.ts';

type Verb = 'get' | 'list' | 'watch' | 'create' | 'update' | 'patch' | 'delete' | 'deletecollection';

/** Requests for resources, already authorised: from verb and place to the registry, and back to the form that the client asked for. */
export class ResourceEndpoints {
  readonly #registry: Registry;

  constructor(registry: Registry) {
    this.#registry = registry;
  }

  async answer(request: ResourceRequest): Promise<void> {
    const { path, req } = request;
    const verb = verbOf(request);
    const { name, namespace, subresource } = path;
    const served = this.#registry.catalog.find(path);
    if (!served || (namespace !== undefined && !served.ref.namespaced)) throw unknownResource();
    const resource = reads.has(verb) ? served : this.#writtenAs(served);
    const call: Call = {
      ...request,
      registry: this.#registry,
      resource,
      served,
      part: subresource === 'status' ? 'status' : 'main',
      // Before anything is done: a write that could not be answered must not happen.
      form: negotiateForm(req.headers.accept),
      warnings: new Set(),
    };
    if (subresource !== undefined && subresource !== 'status') {
      await answerSubresource(call, subresource);
      return;
    }
    if (resource.review) {
      if (verb !== 'create') throw methodNotAllowed(req, resource);
      const body = await readObjectBody(call);
      const answer = await answerReview(call.registry, resource, { body, options: writeOptionsOf(call) });
      sendObject(call, answer, 201);
      return;
    }
    if (call.part === 'status') requireStatusSubresource(resource, name);
    if (resource.ref.namespaced && namespace === undefined && !['list', 'watch'].includes(verb)) {
      throw unknownResource();
    }
    if (req.method === 'POST' && name !== undefined) throw methodNotAllowed(req, resource);
    await verbs[verb](call);
  }

  #writtenAs(served: Resource): Resource {
    const stored = served.storedAs && this.#registry.catalog.find(served.storedAs.ref);
    return stored ?? served;
  }
}

const reads: ReadonlySet<Verb> = new Set(['get', 'list', 'watch']);

function verbOf({ req, path, query }: ResourceRequest): Verb {
  const isOne = path.name !== undefined;
  switch (req.method) {
    case 'GET':
    case 'HEAD':
      if (isOne) return 'get';
      return query.flag('watch') ? 'watch' : 'list';
    case 'POST':
      return 'create';
    case 'PUT':
      if (isOne) return 'update';
      break;
    case 'PATCH':
      if (isOne) return 'patch';
      break;
    case 'DELETE':
      return isOne ? 'delete' : 'deletecollection';
    default:
  }
  throw methodNotAllowed(req);
}

const verbs: Readonly<Record<Verb, (call: Call) => Promise<void>>> = {
  async get(call) {
    const target = { ...targetOf(call), resourceVersion: call.query.text('resourceVersion') };
    sendObject(call, await getObject(call.registry, call.resource, target), 200);
  },

  async list(call) {
    await sendList(call, await listPage(call.registry, call.resource, listQueryOf(call)));
  },

  watch: serveWatch,

  async create(call) {
    const options = writeOptionsOf(call);
    const body = await readObjectBody(call);
    const { namespace } = call.path;
    sendObject(call, await createObject(call.registry, call.resource, { namespace, body, options }), 201);
  },

  async update(call) {
    const options = writeOptionsOf(call);
    const body = await readObjectBody(call);
    const { part } = call;
    const request = { target: targetOf(call), body, part, options };
    sendObject(call, await updateObject(call.registry, call.resource, request), 200);
  },

  async patch(call) {
    const shared = { target: targetOf(call), part: call.part, options: writeOptionsOf(call) };
    const { type, value } = await readPatchBody(call);
    const { registry, resource } = call;
    if (type === 'apply') {
      const fieldManager = call.query.text('fieldManager') ?? '';
      const options = { ...shared.options, fieldManager };
      const force = call.query.flag('force');
      const request = { ...shared, options, body: value, force };
      const { object, isNew } = await applyObject(registry, resource, request);
      sendObject(call, object, isNew ? 201 : 200);
    } else {
      refuseForce(call);
      sendObject(call, await patchObject(registry, resource, { ...shared, type, patch: value }), 200);
    }
  },

  async delete(call) {
    if (call.part === 'status') throw methodNotAllowed(call.req, call.resource);
    const options = await readDeleteOptions(call);
    const target = targetOf(call);
    const { object, isGone } = await deleteObject(call.registry, call.resource, { ...options, target });
    if (!isGone) {
      sendObject(call, object, 200);
      return;
    }
    const { group, plural } = call.served.ref;
    const details = {
      name: target.name,
      ...(group ? { group } : {}),
      kind: plural,
      uid: object.metadata.uid,
    };
    sendJson(call.res, { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', details });
  },

  async deletecollection(call) {
    if (isNamespaceKind(call.resource)) throw methodNotAllowed(call.req, call.resource);
    const options = await readDeleteOptions(call);
    const request = { ...options, query: listQueryOf(call) };
    const { items, metadata } = await deleteCollection(call.registry, call.resource, request);
    const objects = items.map((object) => servedForm(call.served, object));
    await sendList({ ...call, resource: call.served }, { objects, metadata });
  },
};
