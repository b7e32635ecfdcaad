import { StatusError } from '@selvedge/api';

/** The message reaches the client: it never repeats a token. */
export function unauthorized(why: string, cause?: unknown): StatusError {
  return new StatusError('Unauthorized', `Unauthorized: ${why}`, { cause });
}
