import { badRequest } from '@selvedge/api';

/** Where a list that was cut by `limit` goes on, in the snapshot that it began with. */
export interface ContinueToken {
  readonly revision: number;
  readonly namespace: string;
  readonly name: string;
}

export function writeContinueToken({ revision, namespace, name }: ContinueToken): string {
  return Buffer.from(JSON.stringify([1, revision, namespace, name])).toString('base64url');
}

export function readContinueToken(text: string): ContinueToken {
  try {
    const [version, revision, namespace, name] = JSON.parse(
      Buffer.from(text, 'base64url').toString(),
    ) as unknown[];
    if (
      version === 1 &&
      typeof revision === 'number' &&
      typeof namespace === 'string' &&
      typeof name === 'string'
    ) {
      return { revision, namespace, name };
    }
  } catch (cause) {
    throw badRequest('continue key is not valid: list again without it', cause);
  }
  throw badRequest('continue key is not valid: list again without it');
}
