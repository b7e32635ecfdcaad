/** Reasons of a failed request. Kubernetes `metav1.StatusReason`. */
export type StatusReason = keyof typeof codeOfReason;

const codeOfReason = {
  BadRequest: 400,
  Unauthorized: 401,
  Forbidden: 403,
  NotFound: 404,
  MethodNotAllowed: 405,
  NotAcceptable: 406,
  AlreadyExists: 409,
  Conflict: 409,
  Gone: 410,
  Expired: 410,
  RequestEntityTooLarge: 413,
  UnsupportedMediaType: 415,
  Invalid: 422,
  TooManyRequests: 429,
  InternalError: 500,
  ServiceUnavailable: 503,
  Timeout: 504,
} as const;

/** One field's fault. Kubernetes `metav1.StatusCause`. */
export interface FieldError {
  reason:
    | 'FieldValueRequired'
    | 'FieldValueInvalid'
    | 'FieldValueTypeInvalid'
    | 'FieldValueNotSupported'
    | 'FieldValueDuplicate'
    | 'FieldValueForbidden'
    | 'FieldValueTooLong'
    | 'FieldManagerConflict'
    | 'ResourceVersionTooLarge'
    | 'NamespaceTerminating';
  /** As Kubernetes writes it: `spec.rollout.waves[1].percent`. */
  field: string;
  message: string;
}

export interface StatusDetails {
  name?: string;
  group?: string;
  kind?: string;
  uid?: string;
  causes?: FieldError[];
  retryAfterSeconds?: number;
}

/** The wire form of an error: `metav1.Status`. */
export interface StatusBody {
  kind: 'Status';
  apiVersion: 'v1';
  metadata: Record<string, never>;
  status: 'Failure';
  message: string;
  reason: StatusReason;
  details?: StatusDetails;
  code: number;
}

/** The only error type that crosses a border of ours; `code` follows from `reason`. */
export class StatusError extends Error {
  override readonly name = 'StatusError';
  readonly reason: StatusReason;
  readonly details: StatusDetails;

  constructor(
    reason: StatusReason,
    message: string,
    options: { details?: StatusDetails; cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
    this.reason = reason;
    this.details = options.details ?? {};
  }

  /** HTTP status code. */
  get code(): number {
    return codeOfReason[this.reason];
  }

  toBody(): StatusBody {
    return {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      message: this.message,
      reason: this.reason,
      ...(Object.keys(this.details).length > 0 ? { details: this.details } : {}),
      code: this.code,
    };
  }
}

/** Rebuilds the error that `toBody` wrote; anything else becomes an InternalError that quotes the HTTP code. */
export function statusErrorFromBody(body: unknown, httpCode: number): StatusError {
  if (isFailure(body)) {
    return new StatusError(body.reason, body.message, body.details ? { details: body.details } : {});
  }
  const reason = (Object.keys(codeOfReason) as StatusReason[]).find((r) => codeOfReason[r] === httpCode);
  return new StatusError(reason ?? 'InternalError', `the server answered ${httpCode} without a Status`);
}

function isFailure(body: unknown): body is StatusBody {
  const b = body as Partial<StatusBody> | null;
  return typeof b === 'object' && b?.kind === 'Status' && b.reason !== undefined && b.reason in codeOfReason;
}

type Named = { group?: string; plural: string };
const details = (resource: Named, name?: string): StatusDetails => ({
  ...(name === undefined ? {} : { name }),
  ...(resource.group ? { group: resource.group } : {}),
  kind: resource.plural,
});
const qualified = (r: Named) => (r.group ? `${r.plural}.${r.group}` : r.plural);

export function notFound(resource: Named, name: string): StatusError {
  return new StatusError('NotFound', `${qualified(resource)} "${name}" not found`, {
    details: details(resource, name),
  });
}

export function alreadyExists(resource: Named, name: string): StatusError {
  return new StatusError('AlreadyExists', `${qualified(resource)} "${name}" already exists`, {
    details: details(resource, name),
  });
}

/** Someone else changed the object since it was read. */
export function conflict(resource: Named, name: string, why: string): StatusError {
  return new StatusError(
    'Conflict',
    `Operation cannot be fulfilled on ${qualified(resource)} "${name}": ${why}`,
    {
      details: details(resource, name),
    },
  );
}

/** @param resource names the kind as in `kind:`, for the message. */
export function invalid(
  resource: { group: string; kind: string },
  name: string,
  errors: readonly FieldError[],
): StatusError {
  const { group, kind } = resource;
  const list = errors.map((e) => `${e.field}: ${e.message}`);
  const text = list.length === 1 ? list[0] : `[${list.join(', ')}]`;
  return new StatusError('Invalid', `${group ? `${kind}.${group}` : kind} "${name}" is invalid: ${text}`, {
    details: { ...(name ? { name } : {}), ...(group ? { group } : {}), kind, causes: [...errors] },
  });
}

export function badRequest(message: string, cause?: unknown): StatusError {
  return new StatusError('BadRequest', message, { cause });
}

export function isStatusError(e: unknown, reason?: StatusReason): e is StatusError {
  return e instanceof StatusError && (reason === undefined || e.reason === reason);
}
export const isNotFound = (e: unknown): e is StatusError => isStatusError(e, 'NotFound');
export const isAlreadyExists = (e: unknown): e is StatusError => isStatusError(e, 'AlreadyExists');
export const isConflict = (e: unknown): e is StatusError => isStatusError(e, 'Conflict');
export const isExpired = (e: unknown): e is StatusError =>
  isStatusError(e, 'Expired') || isStatusError(e, 'Gone');
