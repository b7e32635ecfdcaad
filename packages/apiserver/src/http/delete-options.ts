import {
  badRequest,
  type FieldError,
  fieldInvalid,
  fieldNotSupported,
  invalid,
  isObject,
  type JsonObject,
} from '@selvedge/api';
import type { DeleteRequest } from '../registry/delete.ts';
import { propagationPolicies, type PropagationPolicy } from '../registry/propagation.ts';
import { decodeBody, mediaTypeOf } from './decode-body.ts';
import type { QueryParameters } from './query-parameters.ts';
import type { Call } from './resource-call.ts';

export type DeleteOptions = Omit<DeleteRequest, 'target'>;

const kindOfOptions = { group: 'meta.k8s.io', kind: 'DeleteOptions' };

/**
 * Options of a delete: from the body, and what it does not say from the query. Throws `BadRequest` and `Invalid`.
 * `gracePeriodSeconds` is taken and has no effect: the kinds served here have no processes that could end gracefully.
 */
export async function readDeleteOptions(call: Call): Promise<DeleteOptions> {
  const { req, query } = call;
  const bytes = await call.readBody();
  const body: unknown =
    bytes.length === 0 ? {} : decodeBody(bytes, mediaTypeOf(req.headers['content-type'])).value;
  if (!isObject(body)) throw badRequest('the body of a delete must be DeleteOptions');
  const { kind } = body;
  if (kind !== undefined && kind !== '' && kind !== 'DeleteOptions') {
    throw badRequest(`the body of a delete must be DeleteOptions, not ${JSON.stringify(kind).slice(0, 80)}`);
  }
  checkTypes(body);
  const preconditions = isObject(body['preconditions']) ? body['preconditions'] : {};
  const dryRun = listOf(body['dryRun']);
  const policy = textOf(body['propagationPolicy']) ?? query.text('propagationPolicy');
  const orphan = body['orphanDependents'] ?? findFlag(query, 'orphanDependents');
  const faults = [...faultsOfPolicy(policy, orphan), ...faultsOfDryRun(dryRun)];
  if (faults.length > 0) throw invalid(kindOfOptions, '', faults);
  return {
    preconditions: {
      uid: textOf(preconditions['uid']),
      resourceVersion: textOf(preconditions['resourceVersion']),
    },
    propagationPolicy: orphan === undefined ? (policy as PropagationPolicy | undefined) : policyOf(orphan),
    dryRun: query.dryRun || dryRun.length > 0,
  };
}

/** The older way of saying it. */
const policyOf = (orphanDependents: unknown): PropagationPolicy =>
  orphanDependents === true ? 'Orphan' : 'Background';

function checkTypes(body: JsonObject): void {
  const must = (field: string, what: string, holds: (value: unknown) => boolean) => {
    const value = body[field];
    if (value !== undefined && value !== null && !holds(value)) throw badRequest(`${field} must be ${what}`);
  };
  must('gracePeriodSeconds', 'a whole number', Number.isSafeInteger);
  must('propagationPolicy', 'a string', (v) => typeof v === 'string');
  must('orphanDependents', 'true or false', (v) => typeof v === 'boolean');
  must('dryRun', 'a list', Array.isArray);
  must('preconditions', 'an object with uid and resourceVersion', isPreconditions);
}

const isPreconditions = (value: unknown): boolean =>
  isObject(value) &&
  [value['uid'], value['resourceVersion']].every(
    (v) => v === undefined || v === null || typeof v === 'string',
  );

function faultsOfPolicy(policy: string | undefined, orphan: unknown): FieldError[] {
  const isKnown = policy === undefined || propagationPolicies.some((known) => known === policy);
  const both = 'orphanDependents and deletionPropagation cannot be both set';
  return [
    ...(policy !== undefined && orphan !== undefined
      ? [fieldInvalid('propagationPolicy', policy, both)]
      : []),
    ...(isKnown ? [] : [fieldNotSupported('propagationPolicy', policy, [...propagationPolicies, 'nil'])]),
  ];
}

function faultsOfDryRun(values: readonly unknown[]): FieldError[] {
  return values.some((v) => v !== 'All') ? [fieldNotSupported('dryRun', values, ['All'])] : [];
}

const findFlag = (query: QueryParameters, name: string): boolean | undefined =>
  query.text(name) === undefined ? undefined : query.flag(name);

/** Absent, `null` and empty mean the same. */
const textOf = (value: unknown): string | undefined =>
  typeof value === 'string' && value !== '' ? value : undefined;
const listOf = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);
