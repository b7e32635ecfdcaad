import { StatusError } from '@selvedge/api';
import { storedPatch } from '../registry/alias.ts';
import type { PatchType } from '../registry/patch.ts';
import { decodeBody, mediaTypeOf } from './decode-body.ts';
import { type Call, reportDuplicates } from './resource-call.ts';

const patchTypeOf: Readonly<Record<string, PatchType | 'apply'>> = {
  'application/json-patch+json': 'json',
  'application/merge-patch+json': 'merge',
  'application/strategic-merge-patch+json': 'strategic',
  'application/apply-patch+yaml': 'apply',
};

export interface PatchBody {
  readonly type: PatchType | 'apply';
  readonly value: unknown;
}

/** Throws `UnsupportedMediaType` for what is no patch, `BadRequest` for what cannot be read. */
export async function readPatchBody(call: Call): Promise<PatchBody> {
  const mediaType = mediaTypeOf(call.req.headers['content-type']);
  const type = Object.hasOwn(patchTypeOf, mediaType.type) ? patchTypeOf[mediaType.type] : undefined;
  if (!type) {
    const known = Object.keys(patchTypeOf).join(', ');
    throw new StatusError('UnsupportedMediaType', `${mediaType.type} is not a patch; supported are ${known}`);
  }
  const { value, duplicateFields } = decodeBody(await call.readBody(), mediaType);
  reportDuplicates(call, duplicateFields);
  return { type, value: storedPatch(call.served, call.resource, { type, patch: value }) };
}
