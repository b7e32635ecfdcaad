import { StatusError } from '@selvedge/api';

/** Of a request body, and of an object as it is stored. */
export const maxObjectBytes = 3 * 1024 * 1024;

/** Deeper than any manifest; a limit keeps walks over objects from overflowing the stack. */
export const maxDepth = 200;

/** As Kubernetes. */
export const maxAnnotationBytes = 256 * 1024;

/** `what` begins the sentence: "the request body". */
export function tooLarge(what: string, limit: number = maxObjectBytes): StatusError {
  return new StatusError(
    'RequestEntityTooLarge',
    `${what} is larger than ${limit} bytes (${limit / 1024 ** 2} MiB), the limit for one object: ` +
      'split it, as an Application into several smaller ones; manifests from git or oci sources, which are not ' +
      'limited so, come with a later version',
  );
}
