import { isDeepStrictEqual } from 'node:util';
import type { ApiAnswer } from './api-under-comparison.ts';

type Json = Record<string, unknown>;

export type NormalAnswer = Json & { readonly status: number };

/**
 * Whether a client is told the same. We say more, or say it better, where kube-apiserver owns up to an internal error
 * because a patch makes no sense, and where a body or what a patch made of the object does not fit its Go types.
 */
export function isSameAnswer(ours: NormalAnswer, theirs: NormalAnswer): boolean {
  const isRefused = ours.status === 400 || ours.status === 422;
  if (theirs.status === 500) return isRefused;
  const isPatchRefused = theirs.status === 422 || theirs.status === 400;
  if (isPatchRefused && theirs['causes'] === undefined) return isRefused;
  if (isDeepStrictEqual(theirs['causes'], ['FieldValueInvalid patch'])) return isRefused;
  const causes = (ours['causes'] ?? []) as readonly string[];
  const isMisfit = causes.length > 0 && causes.every((cause) => /^FieldValue(Type)?Invalid /.test(cause));
  if (theirs.status === 400 && ours.status === 422 && isMisfit) return true;
  return isDeepStrictEqual(ours, theirs);
}

/**
 * An answer without what must differ between servers (identities, times, revisions) and what may (the wording of most
 * refusals); with whether a write made a new revision of the object that was answered before.
 */
export function normalAnswer({ status, body, warnings }: ApiAnswer, before: Json): NormalAnswer {
  if (body['kind'] === 'Status') return { ...normalStatus(status, body), warnings };
  const known = metadataOf(before);
  const now = metadataOf(body);
  const isSame = now['uid'] !== undefined && now['uid'] === known['uid'];
  return {
    status,
    object: normalObject(body),
    ...(isSame ? { hasNewRevision: now['resourceVersion'] !== known['resourceVersion'] } : {}),
    warnings,
  };
}

const metadataOf = (object: Json): Json => (object['metadata'] ?? {}) as Json;

/** Refusals whose words programs and people know. */
const wordedReasons = new Set(['Conflict', 'NotFound', 'AlreadyExists']);

function normalStatus(status: number, body: Json): NormalAnswer {
  const reason = String(body['reason']);
  const message = String(body['message']);
  const { causes, uid, ...details } = (body['details'] ?? {}) as { causes?: Json[] } & Json;
  return {
    status,
    reason,
    code: body['code'],
    ...(wordedReasons.has(reason) ? { message: maskIdentities(message) } : {}),
    details: { ...details, ...(uid ? { uid: 'UID' } : {}) },
    causes: causes && [...new Set(causes.map(normalCause))].sort(),
  };
}

function normalCause({ reason, field, message }: Json): string {
  const words = reason === 'FieldManagerConflict' ? `: ${String(message)}` : '';
  return `${String(reason)} ${String(field)}${words}`;
}

const maskIdentities = (text: string): string =>
  text
    .replace(/[0-9a-f]{8}-[0-9a-f-]{27}/g, 'UID')
    .replace(/record \(\d+\)/g, 'record (REVISION)')
    .replace(/StorageError: .* AdditionalErrorMsg: /, '');

const masked: Readonly<Record<string, string>> = {
  uid: 'UID',
  resourceVersion: 'REVISION',
  creationTimestamp: 'TIME',
  deletionTimestamp: 'TIME',
};

function normalObject(object: Json): Json {
  const metadata: Json = {};
  for (const [name, value] of Object.entries(metadataOf(object))) {
    metadata[name] = name === 'managedFields' ? normalManagers(value as Json[]) : (masked[name] ?? value);
  }
  return { ...object, metadata };
}

/** Their order is by time, which two servers do not share; the fields as text, for their order counts. */
function normalManagers(entries: readonly Json[]): unknown {
  return entries
    .map(({ time, fieldsV1, ...entry }) => {
      const normal: Json = {
        ...entry,
        hasTime: time !== undefined || entry['subresource'] === 'scale',
        fields: JSON.stringify(fieldsV1),
      };
      return JSON.stringify(normal, Object.keys(normal).sort());
    })
    .sort();
}
