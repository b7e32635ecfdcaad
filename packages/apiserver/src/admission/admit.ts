import { type FieldError, invalid, isSameJson, type KubeObject } from '@selvedge/api';
import type { Registry, WriteOptions } from '../registry/registry.ts';
import type { Resource } from '../registry/resource-catalog.ts';
import { setDefaults } from '../schema/set-defaults.ts';
import { validate } from '../schema/validate.ts';
import { validateMetadata } from './metadata-rules.ts';
import { completeNamespace, isNamespaceKind } from './namespace-object.ts';
import { checkOwners, dropRepeatedOwners } from './owner-references.ts';
import { dropUnknownFields } from './strict-fields.ts';

export interface Candidate {
  readonly resource: Resource;
  /** Owned by the caller's request: changed in place. */
  readonly object: KubeObject;
  readonly previous: KubeObject | undefined;
  readonly options: Pick<WriteOptions, 'fieldValidation' | 'warn' | 'user' | 'dryRun'>;
  readonly part: 'main' | 'status';
}

export interface Admitted {
  readonly object: KubeObject;
  /** Whether anything differs from `previous` but metadata and, where it has its own subresource, status. */
  readonly isContentChanged: boolean;
}

/**
 * Everything between what a client sent and what may be stored: unknown fields, defaults, types, the kind's own
 * preparation and rules. Throws `BadRequest`, `Invalid`, `Forbidden`, or what the kind's admission throws.
 */
export async function admit(
  { authorizer, catalog }: Pick<Registry, 'authorizer' | 'catalog'>,
  candidate: Candidate,
): Promise<Admitted> {
  const { resource, object, previous, options, part } = candidate;
  const { definition } = resource;
  dropUnknownFields(resource, object, options);
  setDefaults(object, resource.schema);
  dropRepeatedOwners(object, options.warn);
  const { prepared, isContentChanged, errors } = check(candidate);
  // Its rules rely on the types that the schema asks for.
  if (!errors.some(({ field }) => field.startsWith('metadata'))) {
    validateMetadata(resource, { object: prepared, previous, errors, warn: options.warn });
  }
  if (errors.length > 0) throw invalid(resource.ref, prepared.metadata.name, errors);
  const { user, dryRun } = options;
  checkOwners({ authorizer, catalog }, { resource, object: prepared, previous, user });
  // Also while it waits for its finalizers: a role that is being deleted still grants.
  if (part === 'main' && definition.admit) {
    await definition.admit(prepared, previous, { user, dryRun, authorizer });
  }
  return { object: prepared, isContentChanged };
}

interface Checked {
  readonly prepared: KubeObject;
  readonly isContentChanged: boolean;
  readonly errors: FieldError[];
}

/** By the schema before and after the kind's own preparation, then by the rules that may rely on the schema. */
function check(candidate: Candidate): Checked {
  const { resource, object, previous, part } = candidate;
  const { definition } = resource;
  let prepared = object;
  let errors = schemaErrors(candidate, object);
  // `prepare` may rely on the types of what is there, and may fill in what is missing.
  if (errors.every((error) => error.reason === 'FieldValueRequired')) {
    if (isNamespaceKind(resource)) prepared = completeNamespace(prepared, previous);
    if (definition.prepare) prepared = definition.prepare(prepared, previous);
    if (prepared !== object) errors = schemaErrors(candidate, prepared);
  }
  const isContentChanged = isChanged(candidate, prepared);
  if (errors.length === 0)
    errors.push(...ruleErrors({ resource, prepared, previous, part, isContentChanged }));
  return { prepared, isContentChanged, errors };
}

function schemaErrors(candidate: Candidate, object: KubeObject): FieldError[] {
  const { resource, part } = candidate;
  const isSensitive = resource.definition.sensitive ?? false;
  const errors = validate(object, resource.schema, { isSensitive });
  if (errors.length === 0) return errors;
  const isContentChanged = isChanged(candidate, object);
  return errors.filter((error) => mayRefuse(error, { part, isContentChanged }));
}

const isChanged = ({ resource, previous }: Candidate, object: KubeObject): boolean =>
  previous === undefined || !hasSameContent(resource, object, previous);

interface Ruled extends Pick<Candidate, 'resource' | 'previous' | 'part'> {
  readonly prepared: KubeObject;
  readonly isContentChanged: boolean;
}

/** The rules of the schema (CEL), then the kind's own. */
function ruleErrors({ resource, prepared, previous, part, isContentChanged }: Ruled): readonly FieldError[] {
  const isOwn = part === 'main' && isContentChanged;
  if (!isOwn && part === 'main') return [];
  const broken = (resource.rules?.check(prepared, previous) ?? []).filter((error) =>
    mayRefuse(error, { part, isContentChanged }),
  );
  if (!isOwn) return broken;
  return [...broken, ...(resource.definition.validate?.(prepared, previous) ?? [])];
}

/** What a write leaves as it was is not judged again: rules may have become stricter since it was stored. */
function mayRefuse(
  { field }: FieldError,
  { part, isContentChanged }: { part: Candidate['part']; isContentChanged: boolean },
): boolean {
  if (field.startsWith('metadata')) return true;
  return part === 'status' ? field.startsWith('status') : isContentChanged;
}

/** Whether nothing differs but metadata and, where it has its own subresource, status. */
function hasSameContent({ definition }: Resource, a: KubeObject, b: KubeObject): boolean {
  const isContent = (field: string) =>
    field !== 'metadata' && !(definition.statusSubresource && field === 'status');
  const fields = Object.keys(a).filter(isContent);
  if (fields.length !== Object.keys(b).filter(isContent).length) return false;
  return fields.every((field) => isSameJson(a[field], b[field]));
}
