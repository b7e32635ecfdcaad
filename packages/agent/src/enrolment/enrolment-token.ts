import { createHash } from 'node:crypto';
import type { EnrollmentTokenClaims } from '@selvedge/api';
import { EnrolmentRefused } from './enrolment-refused.ts';

export interface EnrolmentToken {
  readonly hubs: readonly URL[];
  readonly fleetKeyFingerprint: string;
  readonly name: string;
  readonly secret: string;
  /** SHA-256 of the text: tells two tokens apart without keeping the secret. */
  readonly digest: string;
}

const prefix = 'selvedge1.';
const advice = 'copy the whole of what "selvedge site token NAME" printed';

/** Throws `EnrolmentRefused`; the message never quotes the token. */
export function parseEnrolmentToken(text: string): EnrolmentToken {
  const trimmed = text.trim();
  if (!trimmed.startsWith(prefix)) {
    throw new EnrolmentRefused(`the token does not begin with "${prefix}"; ${advice}`);
  }
  const claims = decodeClaims(trimmed.slice(prefix.length));
  if (claims === undefined) throw new EnrolmentRefused(`the token is damaged or not complete; ${advice}`);
  const hubs = claims.hubs.map((hub) => URL.parse(hub)).filter((hub) => hub?.protocol === 'https:');
  if (hubs.length === 0)
    throw new EnrolmentRefused('the token names no https:// address of a hub; make a new one');
  return {
    hubs: hubs as URL[],
    fleetKeyFingerprint: claims.fleetKeyFingerprint,
    name: claims.token,
    secret: claims.secret,
    digest: createHash('sha256').update(trimmed).digest('hex'),
  };
}

function decodeClaims(encoded: string): EnrollmentTokenClaims | undefined {
  let claims: Partial<EnrollmentTokenClaims> | null;
  try {
    claims = JSON.parse(Buffer.from(encoded, 'base64url').toString('utf8')) as Partial<EnrollmentTokenClaims>;
  } catch {
    return undefined;
  }
  const isComplete =
    typeof claims === 'object' &&
    claims !== null &&
    Array.isArray(claims.hubs) &&
    claims.hubs.every((hub) => typeof hub === 'string') &&
    typeof claims.fleetKeyFingerprint === 'string' &&
    typeof claims.token === 'string' &&
    typeof claims.secret === 'string';
  return isComplete ? (claims as EnrollmentTokenClaims) : undefined;
}
