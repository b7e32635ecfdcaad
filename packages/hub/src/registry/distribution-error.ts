/** Codes of the OCI distribution specification, with the HTTP status that goes with each. */
const statusOf = {
  BLOB_UNKNOWN: 404,
  BLOB_UPLOAD_INVALID: 400,
  BLOB_UPLOAD_UNKNOWN: 404,
  DENIED: 403,
  DIGEST_INVALID: 400,
  MANIFEST_BLOB_UNKNOWN: 404,
  MANIFEST_INVALID: 400,
  MANIFEST_UNKNOWN: 404,
  NAME_INVALID: 400,
  NAME_UNKNOWN: 404,
  RANGE_INVALID: 416,
  SIZE_INVALID: 413,
  STORAGE_FULL: 507,
  TOOMANYREQUESTS: 429,
  UNAUTHORIZED: 401,
  UNAVAILABLE: 503,
  UNSUPPORTED: 405,
} as const;
export type DistributionCode = keyof typeof statusOf;

/** What the hub's registry answers instead of what was asked for: `{"errors": [{code, message}]}`. */
export class DistributionError extends Error {
  override readonly name = 'DistributionError';
  readonly code: DistributionCode;

  constructor(code: DistributionCode, message: string, options: { cause?: unknown } = {}) {
    super(message, options);
    this.code = code;
  }

  get status(): number {
    return statusOf[this.code];
  }
}
