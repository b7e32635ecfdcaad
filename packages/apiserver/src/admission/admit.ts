import { isDeepStrictEqual } from 'node:util';
import { type FieldError, invalid, type KubeObject } from '@selvedge/api';
import type { Authorizer } from '../authorization/authorizer.ts';
import type { WriteOptions } from '../registry/registry.ts';
import type { Resource } from '../registry/resource-catalog.ts';
import { setDefaults } from '../schema/set-defaults.ts';
import { validate } from '../schema/validate.ts';
import { validateMetadata } from './metadata-rules.ts';
import { completeNamespace, isNamespaceKind } from './namespace-object.ts';
import { dropUnknownFields } from './strict-fields.ts';

export interface Candidate {
  readonly resource: Resource;
  /** Owned by the caller's request: changed in place. */
  readonly object: KubeObject;
  readonly previous: KubeObject | undefined;
  readonly options: Pick<WriteOptions, 'fieldValidation' | 'warn' | 'user' | 'dryRun'>;
  readonly authorizer: Authorizer;
  readonly part: 'main' | 'status';
}

/**
 * Everything between what a client sent and what may be stored: unknown fields, defaults, types, the kind's own
 * preparation and rules. Returns the object to store; throws `BadRequest`, `Invalid` or what the kind's admission
 * throws.
 */
export async function admit(candidate: Candidate): Promise<KubeObject> {
  const { resource, object, previous, options, part, authorizer } = candidate;
  const { definition } = resource;
  dropUnknownFields(resource, object, options);
  setDefaults(object, resource.schema);
  const isRelevant = (error: FieldError) => mayRefuse(error, { object, previous, part, resource });
  const check = (checked: KubeObject) =>
    validate(checked, resource.schema, { isSensitive: definition.sensitive ?? false }).filter(isRelevant);

  // `prepare` may rely on the types of what is there, and may fill in what is missing.
  const typeErrors = check(object).filter((e) => e.reason !== 'FieldValueRequired');
  if (typeErrors.length > 0) throw refusal(resource, object, typeErrors);
  const completed = isNamespaceKind(resource) ? completeNamespace(object, previous) : object;
  const prepared = definition.prepare ? definition.prepare(completed, previous) : completed;

  const own = part === 'main' && !isUnchanged(resource, prepared, previous);
  const schemaErrors = check(prepared);
  // The kind's own rules read what the schema says is there.
  const ruleErrors =
    own && schemaErrors.length === 0 ? (definition.validate?.(prepared, previous) ?? []) : [];
  const errors = [...schemaErrors, ...ruleErrors, ...validateMetadata(resource, prepared, previous)];
  if (errors.length > 0) throw refusal(resource, prepared, errors);
  if (own && prepared.metadata.deletionTimestamp === undefined) {
    const { user, dryRun } = options;
    await definition.admit?.(prepared, previous, { user, dryRun, authorizer });
  }
  return prepared;
}

function refusal(resource: Resource, object: KubeObject, errors: readonly FieldError[]): Error {
  return invalid(resource.ref, object.metadata.name, errors);
}

/** What a write leaves as it was is not judged again: rules may have become stricter since it was stored. */
function mayRefuse(error: FieldError, candidate: Omit<Candidate, 'options' | 'authorizer'>): boolean {
  const { object, previous, part, resource } = candidate;
  if (error.field.startsWith('metadata')) return true;
  if (part === 'status') return error.field.startsWith('status');
  return !isUnchanged(resource, object, previous);
}

function isUnchanged(resource: Resource, object: KubeObject, previous: KubeObject | undefined): boolean {
  return previous !== undefined && hasSameContent(resource, object, previous);
}

/** Whether nothing differs but metadata and, where it has its own subresource, status. */
export function hasSameContent(resource: Resource, a: KubeObject, b: KubeObject): boolean {
  const content = ({ metadata: _metadata, status, ...rest }: KubeObject) =>
    resource.definition.statusSubresource ? rest : { ...rest, status };
  return isDeepStrictEqual(content(a), content(b));
}
