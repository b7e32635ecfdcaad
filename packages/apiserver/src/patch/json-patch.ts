import { badRequest, StatusError } from '@selvedge/api';
import jsonPatch, { type Operation } from 'fast-json-patch';
import { copyJson } from '../schema/json-value.ts';

/** As Kubernetes: a patch is not a program. */
const maxOperations = 10_000;

/** RFC 6902. Throws `BadRequest` for what is no patch, `Invalid` for a patch that does not fit the object. */
export function applyJsonPatch<T>(target: T, patch: unknown): T {
  if (!Array.isArray(patch)) throw badRequest('a JSON patch must be a list of operations');
  if (patch.length > maxOperations) {
    throw new StatusError(
      'RequestEntityTooLarge',
      `a JSON patch may have at most ${maxOperations} operations`,
    );
  }
  try {
    return jsonPatch.applyPatch(copyJson(target), copyJson(patch) as Operation[], true, false, true)
      .newDocument;
  } catch (cause) {
    const { name, index } = cause as { name?: string; index?: number };
    const operation: unknown = index === undefined ? undefined : patch[index];
    const which = operation === undefined ? '' : `: operation ${index} ${describe(operation)}`;
    throw new StatusError('Invalid', `the JSON patch cannot be applied${which}: ${name ?? 'not a patch'}`, {
      cause,
    });
  }
}

/** Without the value: it may be a secret. */
function describe(operation: unknown): string {
  const { op, path } = operation as { op?: unknown; path?: unknown };
  return JSON.stringify({ op, path });
}
