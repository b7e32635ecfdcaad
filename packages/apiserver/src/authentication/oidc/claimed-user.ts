import type { JWTPayload } from 'jose';
import { unauthorized } from '../unauthorized.ts';
import { credentialIdKey, type UserInfo } from '../user-info.ts';
import type { OidcIssuer } from './oidc-issuer.ts';

/** Names that mean parts of the system: no issuer may hand them out. */
const reserved = 'system:';

/** The user that a verified token names. Throws `Unauthorized` when it names none, or one that it may not. */
export function claimedUser(issuer: OidcIssuer, payload: JWTPayload): UserInfo {
  for (const { claim, value } of issuer.requiredClaims) {
    if (payload[claim] === value) continue;
    throw unauthorized(`the token does not have the claim "${claim}" with the value that is wanted`);
  }
  const { jti } = payload;
  const uid = issuer.uidClaim === undefined ? undefined : textClaim(payload, issuer.uidClaim);
  return {
    name: userName(issuer, payload),
    ...(uid === undefined ? {} : { uid }),
    groups: groupsOf(issuer, payload),
    ...(typeof jti === 'string' && jti !== '' ? { extra: { [credentialIdKey]: [`JTI=${jti}`] } } : {}),
  };
}

function userName({ username: { claim, prefix } }: OidcIssuer, payload: JWTPayload): string {
  const value = textClaim(payload, claim);
  // As Kubernetes: an address that nobody has verified is no name. Issuers that never verify leave the claim out.
  const { email_verified: isVerified = true } = payload;
  if (claim === 'email' && isVerified !== true) {
    throw unauthorized('the e-mail address in the token is not verified (claim "email_verified")');
  }
  const name = prefix + value;
  if (name.startsWith(reserved)) {
    throw unauthorized(`names that begin with "${reserved}" are not taken from tokens of an OIDC issuer`);
  }
  return name;
}

/** Groups of the system are left out, whoever claims them. */
function groupsOf({ groups }: OidcIssuer, payload: JWTPayload): string[] {
  const value = groups && payload[groups.claim];
  if (!groups || value === undefined || value === null) return [];
  const names = Array.isArray(value) ? value : [value];
  if (!names.every((name) => typeof name === 'string')) {
    throw unauthorized(`the claim "${groups.claim}" of the token is neither a text nor a list of texts`);
  }
  return names
    .filter((name) => name !== '')
    .map((name) => groups.prefix + name)
    .filter((name) => !name.startsWith(reserved));
}

function textClaim(payload: JWTPayload, claim: string): string {
  const value = payload[claim];
  if (typeof value === 'string' && value !== '') return value;
  throw unauthorized(`the token has no claim "${claim}" that is a text`);
}
