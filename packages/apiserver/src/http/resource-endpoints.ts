import { type KubeObject, StatusError } from '@selvedge/api';
import { authorize } from '../authorization/authorize.ts';
import { applyObject } from '../registry/apply.ts';
import { answerReview } from '../registry/review.ts';
import { createObject } from '../registry/create.ts';
import { deleteObject } from '../registry/delete.ts';
import { deleteCollection } from '../registry/delete-collection.ts';
import { getObject } from '../registry/get.ts';
import { listObjects } from '../registry/list.ts';
import { patchObject, type PatchType } from '../registry/patch.ts';
import type { Registry } from '../registry/registry.ts';
import type { Resource } from '../registry/resource-catalog.ts';
import { requireStatusSubresource, updateObject } from '../registry/update.ts';
import { decodeBody, mediaTypeOf } from './decode-body.ts';
import { readDeleteOptions } from './delete-options.ts';
import type { ApiRequest } from './exchange.ts';
import { negotiateForm } from './negotiate.ts';
import { presenterFor } from './presenter.ts';
import { readBody } from './read-body.ts';
import {
  type Call,
  listQueryOf,
  readObjectBody,
  reportDuplicates,
  type ResourceRequest,
  targetOf,
  writeOptionsOf,
} from './resource-call.ts';
import { sendJson } from './respond.ts';
import { serveWatch } from './serve-watch.ts';

type Verb = 'get' | 'list' | 'watch' | 'create' | 'update' | 'patch' | 'delete' | 'deletecollection';

const patchTypeOf: Readonly<Record<string, PatchType | 'apply'>> = {
  'application/json-patch+json': 'json',
  'application/merge-patch+json': 'merge',
  'application/strategic-merge-patch+json': 'strategic',
  'application/apply-patch+yaml': 'apply',
};

/** Requests for resources: from verb and place to the registry, and back to the form that the client asked for. */
export class ResourceEndpoints {
  readonly #registry: Registry;

  constructor(registry: Registry) {
    this.#registry = registry;
  }

  async answer(request: ResourceRequest): Promise<void> {
    const { path, user, req } = request;
    const verb = verbOf(request);
    const { group, plural, name, namespace, subresource } = path;
    authorize(this.#registry.authorizer, user, {
      verb,
      group,
      resource: plural,
      subresource,
      name,
      namespace,
    });
    const resource = this.#registry.catalog.find(path);
    if (!resource || (namespace !== undefined && !resource.ref.namespaced)) throw unknownResource();
    const call: Call = {
      ...request,
      registry: this.#registry,
      resource,
      part: subresource === 'status' ? 'status' : 'main',
      // Before anything is done: a write that could not be answered must not happen.
      form: negotiateForm(req.headers.accept),
      warnings: new Set(),
    };
    if (subresource !== undefined && subresource !== 'status') {
      await answerAction(call, subresource);
      return;
    }
    if (resource.review) {
      if (verb !== 'create') throw methodNotAllowed(req, resource);
      const body = await readObjectBody(call);
      const answer = await answerReview(call.registry, resource, { body, options: writeOptionsOf(call) });
      sendObject(call, answer, 201);
      return;
    }
    if (call.part === 'status') requireStatusSubresource(resource);
    if (resource.ref.namespaced && namespace === undefined && !['list', 'watch'].includes(verb)) {
      throw unknownResource();
    }
    if (req.method === 'POST' && name !== undefined) throw methodNotAllowed(req, resource);
    await verbs[verb](call);
  }
}

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
    sendObject(call, await getObject(call.registry, call.resource, targetOf(call)), 200);
  },

  async list(call) {
    const list = await listObjects(call.registry, call.resource, listQueryOf(call));
    sendJson(call.res, presenterFor(call).list(list));
  },

  watch: serveWatch,

  async create(call) {
    const body = await readObjectBody(call);
    const { namespace } = call.path;
    const options = writeOptionsOf(call);
    sendObject(call, await createObject(call.registry, call.resource, { namespace, body, options }), 201);
  },

  async update(call) {
    const body = await readObjectBody(call);
    const { part } = call;
    const request = { target: targetOf(call), body, part, options: writeOptionsOf(call) };
    sendObject(call, await updateObject(call.registry, call.resource, request), 200);
  },

  async patch(call) {
    const mediaType = mediaTypeOf(call.req.headers['content-type']);
    const type = patchTypeOf[mediaType.type];
    if (!type) {
      const known = Object.keys(patchTypeOf).join(', ');
      throw new StatusError(
        'UnsupportedMediaType',
        `${mediaType.type} is not a patch; supported are ${known}`,
      );
    }
    const { value, duplicateFields } = decodeBody(await readBody(call.req, call.registry.clock), mediaType);
    reportDuplicates(call, duplicateFields);
    const shared = { target: targetOf(call), part: call.part, options: writeOptionsOf(call) };
    const { registry, resource } = call;
    if (type === 'apply') {
      const fieldManager = call.query.text('fieldManager') ?? '';
      const options = { ...shared.options, fieldManager };
      const force = call.query.flag('force');
      const request = { ...shared, options, body: value, force };
      const { object, isNew } = await applyObject(registry, resource, request);
      sendObject(call, object, isNew ? 201 : 200);
    } else {
      sendObject(call, await patchObject(registry, resource, { ...shared, type, patch: value }), 200);
    }
  },

  async delete(call) {
    if (call.part === 'status') throw methodNotAllowed(call.req, call.resource);
    const { preconditions, dryRun } = await readDeleteOptions(call);
    const target = targetOf(call);
    const { object, isGone } = await deleteObject(call.registry, call.resource, {
      target,
      preconditions,
      dryRun,
    });
    if (!isGone) {
      sendObject(call, object, 200);
      return;
    }
    const { group, plural } = call.resource.ref;
    const details = {
      name: target.name,
      ...(group ? { group } : {}),
      kind: plural,
      uid: object.metadata.uid,
    };
    sendJson(call.res, { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', details });
  },

  async deletecollection(call) {
    const { dryRun } = await readDeleteOptions(call);
    const list = await deleteCollection(call.registry, call.resource, { query: listQueryOf(call), dryRun });
    sendJson(call.res, presenterFor(call).list(list));
  },
};

async function answerAction(call: Call, subresource: string): Promise<void> {
  const { resource, registry, req } = call;
  const action = Object.hasOwn(resource.actions, subresource) ? resource.actions[subresource] : undefined;
  if (!action) throw unknownResource();
  if (req.method !== 'POST') throw methodNotAllowed(req, resource);
  const object = await getObject(registry, resource, targetOf(call));
  const bytes = await readBody(req, registry.clock);
  const body: unknown =
    bytes.length === 0 ? {} : decodeBody(bytes, mediaTypeOf(req.headers['content-type'])).value;
  const context = { user: call.user, authorizer: registry.authorizer, dryRun: call.query.dryRun };
  sendJson(call.res, await action.invoke(object, body, context), { status: 201 });
}

function sendObject(call: Call, object: KubeObject, status: number): void {
  const warnings = [...call.warnings].slice(0, 20).map(warningHeader);
  const headers = warnings.length > 0 ? { headers: { Warning: warnings } } : {};
  sendJson(call.res, presenterFor(call).object(object), { status, ...headers });
}

const unknownResource = () => new StatusError('NotFound', 'the server could not find the requested resource');

/** RFC 7234 §5.5, in what a header may hold whatever a field is called. */
function warningHeader(text: string): string {
  const printable = text.slice(0, 500).replace(/[^\x20-\x7e]/g, '?');
  return `299 - ${JSON.stringify(printable)}`;
}

function methodNotAllowed(req: ApiRequest, resource?: Resource): StatusError {
  const on = resource ? ` on ${resource.name}` : '';
  return new StatusError('MethodNotAllowed', `${req.method} is not supported${on} at this path`);
}
