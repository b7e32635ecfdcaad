import {
  type FieldError,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldTooLong,
  invalid,
} from '@selvedge/api';
import type { Call } from './resource-call.ts';

const maxBytes = 128;

const optionsKinds: Readonly<Record<string, string>> = {
  POST: 'CreateOptions',
  PUT: 'UpdateOptions',
  PATCH: 'PatchOptions',
};

/**
 * Who is to own the fields that a request writes: `fieldManager`, or the program that asks. Throws `Invalid` for a
 * name that cannot be one.
 */
export function fieldManagerOf(call: Pick<Call, 'query' | 'req' | 'user'>): string {
  const { query, req, user } = call;
  const given = query.text('fieldManager');
  if (given === undefined) return managerOfProgram(req.headers['user-agent'] ?? '') || user.name || 'unknown';
  const fault = faultOfManager(given);
  if (fault) throw invalidOptions(call, fault);
  return given;
}

/** The name before the first slash, as far as it can be printed and is not too long. */
function managerOfProgram(userAgent: string): string {
  let name = '';
  for (const character of userAgent.split('/', 1)[0] ?? '') {
    if (isUnprintable(character)) continue;
    if (Buffer.byteLength(name + character) > maxBytes) break;
    name += character;
  }
  return name;
}

function faultOfManager(manager: string): FieldError | undefined {
  if (Buffer.byteLength(manager) > maxBytes) {
    return fieldTooLong('fieldManager', `may not be more than ${maxBytes} bytes`);
  }
  const characters = Array.from(manager);
  const place = characters.findIndex(isUnprintable);
  if (place < 0) return undefined;
  const code = (characters[place] ?? '').codePointAt(0) ?? 0;
  const point = `U+${code.toString(16).toUpperCase().padStart(4, '0')}`;
  return fieldInvalid('fieldManager', manager, `invalid character ${point} (at position ${place})`);
}

const isUnprintable = (character: string): boolean => character !== ' ' && /[\p{C}\p{Z}]/u.test(character);

/** Throws `Invalid` for options of a write that have no such value. */
export function checkWriteOptions(call: Pick<Call, 'query' | 'req'>): void {
  const { query } = call;
  const dryRun = query.all('dryRun').filter((value) => value !== '' && value !== 'All');
  if (dryRun.length > 0) throw invalidOptions(call, fieldNotSupported('dryRun', dryRun, ['All']));
  const validation = query.text('fieldValidation');
  const known = ['Ignore', 'Strict', 'Warn'];
  if (validation !== undefined && !known.includes(validation)) {
    throw invalidOptions(call, fieldNotSupported('fieldValidation', validation, known));
  }
}

/** `force` means something to apply alone. */
export function refuseForce(call: Pick<Call, 'query' | 'req'>): void {
  if (!call.query.has('force')) return;
  throw invalidOptions(call, fieldForbidden('force', 'may not be specified for non-apply patch'));
}

export function invalidOptions({ req }: Pick<Call, 'req'>, fault: FieldError): Error {
  const kind = optionsKinds[req.method ?? ''] ?? 'DeleteOptions';
  return invalid({ group: 'meta.k8s.io', kind }, '', [fault]);
}
