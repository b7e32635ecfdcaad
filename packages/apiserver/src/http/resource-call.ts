import { type KubeObject, type ObjectName } from '@selvedge/api';
import { withIdentity } from '../admission/identity.ts';
import { refuseStrictly } from '../admission/strict-fields.ts';
import { storedForm } from '../registry/alias.ts';
import type { ListQuery } from '../registry/list.ts';
import type { Registry, WriteOptions } from '../registry/registry.ts';
import type { Resource } from '../registry/resource-catalog.ts';
import { decodeBody, mediaTypeOf } from './decode-body.ts';
import { checkWriteOptions, fieldManagerOf } from './field-manager.ts';
import type { AnswerForm } from './negotiate.ts';
import type { QueryParameters } from './query-parameters.ts';
import type { RequestContext } from './request-context.ts';
import type { ResourcePath } from './request-path.ts';

export interface ResourceRequest extends RequestContext {
  readonly path: ResourcePath;
  readonly query: QueryParameters;
}

/** A request whose resource is known and whose user may do what it asks. */
export interface Call extends ResourceRequest {
  readonly registry: Registry;
  /** The kind that the registry works on. */
  readonly resource: Resource;
  /** The kind as the client named it: another one when it is written under an alias. */
  readonly served: Resource;
  readonly part: 'main' | 'status';
  /** How the client wants the answer. */
  readonly form: AnswerForm;
  readonly warnings: Set<string>;
}

export function targetOf({ path }: Pick<Call, 'path'>): ObjectName {
  const { name = '', namespace } = path;
  return namespace === undefined ? { name } : { name, namespace };
}

export function listQueryOf({ path, query }: Pick<Call, 'path' | 'query'>): ListQuery {
  return {
    namespace: path.namespace,
    labelSelector: query.text('labelSelector'),
    fieldSelector: query.text('fieldSelector'),
    limit: query.count('limit'),
    continue: query.text('continue'),
    resourceVersion: query.text('resourceVersion'),
    resourceVersionMatch: query.text('resourceVersionMatch'),
    sendInitialEvents: query.has('sendInitialEvents') ? query.flag('sendInitialEvents') : undefined,
  };
}

export function writeOptionsOf(call: Call): WriteOptions {
  const { query, user, warnings } = call;
  checkWriteOptions(call);
  return {
    user,
    dryRun: query.dryRun,
    fieldManager: fieldManagerOf(call),
    fieldValidation: query.fieldValidation,
    warn: (message) => warnings.add(message),
  };
}

export async function readObjectBody(call: Call): Promise<KubeObject> {
  const { req, served, resource, path } = call;
  const bytes = await call.readBody();
  const { value, duplicateFields } = decodeBody(bytes, mediaTypeOf(req.headers['content-type']));
  reportDuplicates(call, duplicateFields);
  const target = { name: path.name, namespace: path.namespace };
  return withIdentity(resource, storedForm(served, resource, value), target);
}

export function reportDuplicates({ query, resource, warnings }: Call, fields: readonly string[]): void {
  const faults = fields.slice(0, 20).map((field) => `duplicate field "${field}"`);
  if (query.fieldValidation === 'Strict') refuseStrictly(resource, faults);
  if (query.fieldValidation === 'Warn') for (const fault of faults) warnings.add(fault);
}
