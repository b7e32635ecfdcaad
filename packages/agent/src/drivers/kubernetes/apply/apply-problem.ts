import { isStatusError, StatusError } from '@selvedge/api';
import type { Problem } from '../../item-state.ts';
import { ApiUnreachable } from '../api/kube-connection.ts';
import type { ObjectRef } from '../release/planned-object.ts';

/** Why a step did not succeed, in words for the report. */
export class ApplyError extends Error {
  override readonly name = 'ApplyError';
  readonly reason: string;
  /** It will hardly go away by waiting. */
  readonly isLasting: boolean;

  constructor(reason: string, message: string, options: { isLasting: boolean; cause?: unknown }) {
    super(message, { cause: options.cause });
    this.reason = reason;
    this.isLasting = options.isLasting;
  }
}

/** `Deployment/till`, `Deployment/shop/till` outside the application's namespace. */
export function shownRef({ kind, namespace, name }: ObjectRef, applicationNamespace?: string): string {
  return namespace === undefined || namespace === applicationNamespace
    ? `${kind}/${name}`
    : `${kind}/${namespace}/${name}`;
}

/** An object that another application of the site has. */
export function heldByAnother(
  { id, ref }: { readonly id: string; readonly ref: ObjectRef },
  applicationNamespace: string,
): ApplyError {
  return new ApplyError(
    'OwnedByAnother',
    `${shownRef(ref, applicationNamespace)} belongs to another application (${id}); remove it there, or give it another name here`,
    { isLasting: true },
  );
}

const longestMessage = 1000;

export function problemOf(error: unknown): Problem {
  if (error instanceof ApplyError) {
    const { reason, message, isLasting } = error;
    return { reason, message: message.slice(0, longestMessage), isLasting };
  }
  if (error instanceof StatusError) {
    const { reason, isLasting } = judge(error);
    return { reason, message: error.message.slice(0, longestMessage), isLasting };
  }
  const message = error instanceof Error ? error.message : String(error);
  return { reason: 'InternalError', message: message.slice(0, longestMessage), isLasting: false };
}

/** The error of a request about one object, naming it. What the API says about a Secret may quote it, so only its fields are named. */
export function objectError(error: unknown, ref: ObjectRef, applicationNamespace: string): unknown {
  if (!(error instanceof StatusError) || error instanceof ApiUnreachable) return error;
  const { reason, isLasting } = judge(error);
  const shown = shownRef(ref, applicationNamespace);
  const fields = (error.details.causes ?? []).map(({ field }) => field).filter((field) => field !== '');
  const said =
    ref.kind === 'Secret' && (error.reason === 'Invalid' || error.reason === 'BadRequest')
      ? `not accepted${fields.length > 0 ? `, see ${fields.join(', ')}` : ''}`
      : error.message;
  return new ApplyError(reason, `${shown}: ${said}`, { isLasting, cause: error });
}

function judge(error: StatusError): { reason: string; isLasting: boolean } {
  const waits = (reason: string) => ({ reason, isLasting: false });
  if (error instanceof ApiUnreachable) return waits('ClusterUnavailable');
  if (isWebhookAway(error)) return waits('WebhookUnavailable');
  if (isTerminating(error)) return waits('NamespaceTerminating');
  switch (error.reason) {
    case 'TooManyRequests':
      return waits('ClusterBusy');
    case 'ServiceUnavailable':
    case 'Timeout':
      return waits('ClusterUnavailable');
    case 'NotFound':
      return waits(/^namespaces? "/.test(error.message) ? 'NamespaceMissing' : 'NotFound');
    case 'Unauthorized':
    case 'Forbidden':
      return waits('Forbidden');
    case 'Conflict':
      return waits('Conflict');
    case 'Invalid':
    case 'BadRequest':
    case 'RequestEntityTooLarge':
      return { reason: 'Invalid', isLasting: true };
    case 'MethodNotAllowed':
    case 'NotAcceptable':
    case 'UnsupportedMediaType':
      return { reason: 'Unsupported', isLasting: true };
    case 'InternalError':
      // Fields that a kind does not have make no typed patch, which the API server reports as a fault of its own.
      return isUntyped(error) ? { reason: 'Invalid', isLasting: true } : waits('ClusterError');
    case 'AlreadyExists':
    case 'Gone':
    case 'Expired':
      return waits(error.reason);
  }
}

/** An admission or conversion webhook does not answer (yet). */
export function isWebhookAway(error: StatusError): boolean {
  return (
    /failed calling webhook|conversion webhook for .* failed|no endpoints available for service/i.test(
      error.message,
    ) && error.reason !== 'Forbidden'
  );
}

export function isTerminating(error: StatusError): boolean {
  return (
    error.details.causes?.some(({ reason }) => reason === 'NamespaceTerminating') === true ||
    /because it is being terminated|is being terminated/.test(error.message)
  );
}

const isUntyped = (error: StatusError): boolean =>
  /failed to create (manager for existing fields|typed patch object)|field not declared in schema/.test(
    error.message,
  );

/** The kind is not served under this path: its definition went, or has not arrived yet. */
export function isKindMissing(error: unknown): boolean {
  return isStatusError(error, 'NotFound') && /could not find the requested resource/.test(error.message);
}

/**
 * The field that Kubernetes does not let change, by what it says of it; undefined: it is about something else. Kinds have words of
 * their own for it.
 */
export function immutableField(error: unknown): string | undefined {
  if (!isStatusError(error, 'Invalid') || isOfAdmission(error)) return undefined;
  const said =
    /immutable|may not be changed|cannot be changed|may not change once set|cannot change roleRef|updates to \S+ (spec )?(for fields other than|are forbidden)|updates may not change fields|can not be modified|cannot be modified/i;
  const cause = error.details.causes?.find(({ field, message }) => field !== '' && said.test(message));
  return cause?.field;
}

/** A webhook or a policy said no: that is no fault of the field, and making the object anew would not help. */
export function isOfAdmission({ message }: StatusError): boolean {
  return /admission webhook|ValidatingAdmissionPolicy|MutatingAdmissionPolicy/i.test(message);
}
