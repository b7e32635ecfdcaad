import { badRequest } from '@selvedge/api';
import { isNamespaceKind } from '../admission/namespace-object.ts';
import { finalizeNamespace } from '../registry/finalize-namespace.ts';
import { getObject } from '../registry/get.ts';
import { previewObject } from '../registry/preview.ts';
import { patchScale, readScale, scaleResource, updateScale } from '../registry/scale.ts';
import { decodeBody, mediaTypeOf } from './decode-body.ts';
import { readPatchBody } from './patch-body.ts';
import { type Call, readObjectBody, targetOf, writeOptionsOf } from './resource-call.ts';
import { methodNotAllowed, sendObject, unknownResource } from './send-object.ts';

/** Subresources other than status: `scale`, `finalize` of a namespace, and the actions of a kind. */
export async function answerSubresource(call: Call, subresource: string): Promise<void> {
  const { resource } = call;
  if (call.path.name === undefined) throw unknownResource();
  if (subresource === 'scale' && resource.definition.scale) return answerScale(call);
  if (subresource === 'finalize' && isNamespaceKind(resource)) return answerFinalize(call);
  return answerAction(call, subresource);
}

async function answerScale(call: Call): Promise<void> {
  const { registry, resource, req } = call;
  const target = targetOf(call);
  // The answer is of another kind than the object.
  const asScale: Call = { ...call, resource: scaleResource, served: scaleResource, part: 'main' };
  switch (req.method) {
    case 'GET':
    case 'HEAD':
      sendObject(asScale, await readScale(registry, resource, target), 200);
      return;
    case 'PUT': {
      const body = await readObjectBody(asScale);
      const request = { target, body, options: writeOptionsOf(call) };
      sendObject(asScale, await updateScale(registry, resource, request), 200);
      return;
    }
    case 'PATCH': {
      const { type, value } = await readPatchBody(asScale);
      if (type === 'apply') throw badRequest('apply is not supported on scale: apply to the object itself');
      const request = { target, type, patch: value, options: writeOptionsOf(call) };
      sendObject(asScale, await patchScale(registry, resource, request), 200);
      return;
    }
    default:
      throw methodNotAllowed(req, resource);
  }
}

async function answerFinalize(call: Call): Promise<void> {
  const { registry, resource, req } = call;
  if (req.method !== 'PUT') throw methodNotAllowed(req, resource);
  const body = await readObjectBody(call);
  const request = { target: targetOf(call), body, options: writeOptionsOf(call) };
  sendObject(call, await finalizeNamespace(registry, resource, request), 200);
}

async function answerAction(call: Call, subresource: string): Promise<void> {
  const { resource, registry, req } = call;
  const action = Object.hasOwn(resource.actions, subresource) ? resource.actions[subresource] : undefined;
  if (!action) throw unknownResource();
  if (req.method !== 'POST') throw methodNotAllowed(req, resource);
  const context = { user: call.user, authorizer: registry.authorizer, dryRun: call.query.dryRun };
  if ('preview' in action) {
    const body = await readObjectBody(call);
    const request = { target: targetOf(call), body, options: writeOptionsOf(call), over: action.over };
    const change = await previewObject(registry, resource, request);
    sendObject(call, await action.preview(change, { ...context, dryRun: true }), 201);
    return;
  }
  const object = await getObject(registry, resource, targetOf(call));
  const bytes = await call.readBody();
  const body: unknown =
    bytes.length === 0 ? {} : decodeBody(bytes, mediaTypeOf(req.headers['content-type'])).value;
  sendObject(call, await action.invoke(object, body, context), 201);
}
