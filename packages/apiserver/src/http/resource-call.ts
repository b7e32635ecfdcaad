import { type KubeObject, type ObjectName, StatusError } from '@selvedge/api';
import type { UserInfo } from '../authentication/user-info.ts';
import { withIdentity } from '../admission/identity.ts';
import { refuseStrictly } from '../admission/strict-fields.ts';
import type { ListQuery } from '../registry/list.ts';
import type { Registry, WriteOptions } from '../registry/registry.ts';
import type { Resource } from '../registry/resource-catalog.ts';
import { decodeBody, mediaTypeOf } from './decode-body.ts';
import type { ApiRequest, ApiResponse } from './exchange.ts';
import type { AnswerForm } from './negotiate.ts';
import type { QueryParameters } from './query-parameters.ts';
import { readBody } from './read-body.ts';
import type { ResourcePath } from './request-path.ts';

export interface ResourceRequest {
  readonly req: ApiRequest;
  readonly res: ApiResponse;
  readonly user: UserInfo;
  readonly path: ResourcePath;
  readonly query: QueryParameters;
}

/** A request whose resource is known and whose user may do what it asks. */
export interface Call extends ResourceRequest {
  readonly registry: Registry;
  readonly resource: Resource;
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
  };
}

export function writeOptionsOf({ query, req, user, warnings }: Call): WriteOptions {
  const program = (req.headers['user-agent'] ?? '').split('/')[0];
  const fieldManager = query.text('fieldManager') ?? (program || user.name || 'unknown');
  if (fieldManager.length > 128 || /[^\x20-\x7e]/.test(fieldManager)) {
    throw new StatusError('BadRequest', 'fieldManager must have at most 128 printable characters');
  }
  return {
    user,
    dryRun: query.dryRun,
    fieldManager,
    fieldValidation: query.fieldValidation,
    warn: (message) => warnings.add(message),
  };
}

export async function readObjectBody(call: Call): Promise<KubeObject> {
  const { req, resource, registry, path } = call;
  const bytes = await readBody(req, registry.clock);
  const { value, duplicateFields } = decodeBody(bytes, mediaTypeOf(req.headers['content-type']));
  reportDuplicates(call, duplicateFields);
  return withIdentity(resource, value, { name: path.name, namespace: path.namespace });
}

export function reportDuplicates({ query, resource, warnings }: Call, fields: readonly string[]): void {
  const faults = fields.slice(0, 20).map((field) => `duplicate field "${field}"`);
  if (query.fieldValidation === 'Strict') refuseStrictly(resource, faults);
  if (query.fieldValidation === 'Warn') for (const fault of faults) warnings.add(fault);
}
