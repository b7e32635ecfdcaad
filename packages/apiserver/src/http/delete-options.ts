import { badRequest } from '@selvedge/api';
import { isObject } from '../schema/json-value.ts';
import { decodeBody, mediaTypeOf } from './decode-body.ts';
import { readBody } from './read-body.ts';
import type { Call } from './resource-call.ts';

export interface DeleteOptions {
  readonly preconditions: {
    readonly uid?: string | undefined;
    readonly resourceVersion?: string | undefined;
  };
  readonly dryRun: boolean;
}

const propagationPolicies = ['Background', 'Foreground', 'Orphan'];

/**
 * Options of a delete, from body and query. `propagationPolicy` is checked, and every policy acts as Orphan while there
 * is no garbage collection of dependents. `gracePeriodSeconds` has no meaning for kinds without processes.
 */
export async function readDeleteOptions({ req, registry, query }: Call): Promise<DeleteOptions> {
  const bytes = await readBody(req, registry.clock);
  const body: unknown =
    bytes.length === 0 ? {} : decodeBody(bytes, mediaTypeOf(req.headers['content-type'])).value;
  if (!isObject(body)) throw badRequest('the body of a delete must be DeleteOptions');
  const policy = body['propagationPolicy'] ?? query.text('propagationPolicy') ?? 'Background';
  if (typeof policy !== 'string' || !propagationPolicies.includes(policy)) {
    throw badRequest(`invalid propagationPolicy: must be one of ${propagationPolicies.join(', ')}`);
  }
  const preconditions = isObject(body['preconditions']) ? body['preconditions'] : {};
  const dryRun = Array.isArray(body['dryRun']) ? body['dryRun'] : [];
  if (dryRun.some((value) => value !== 'All')) throw badRequest('invalid dryRun: must be All');
  return {
    preconditions: {
      uid: textOf(preconditions['uid']),
      resourceVersion: textOf(preconditions['resourceVersion']),
    },
    dryRun: query.dryRun || dryRun.length > 0,
  };
}

const textOf = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);
