import { maxObjectBytes, StatusError } from '@selvedge/api';

/** As Kubernetes. */
export const maxAnnotationBytes = 256 * 1024;

/** `what` begins the sentence: "the request body". */
export function tooLarge(what: string, limit: number = maxObjectBytes): StatusError {
  return new StatusError(
    'RequestEntityTooLarge',
    `${what} is larger than ${limit} bytes (${limit / 1024 ** 2} MiB), the limit for one object: ` +
      'split it, as an Application into several smaller ones, or take its manifests from a git or oci source',
  );
}
