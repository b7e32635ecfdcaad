import type { EnrollmentTokenClaims } from '@selvedge/api';
import { CommandError } from '../program/exit-code.ts';

const prefix = 'selvedge1.';

/**
 * The token with other hub addresses in it, for a site that reaches the hub by another way. Nothing in a token is signed:
 * the agent trusts whoever holds the key with its fingerprint, at whatever address.
 */
export function withHubAddresses(token: string, hubs: readonly string[]): string {
  const claims = { ...readClaims(token), hubs: [...hubs] };
  return prefix + Buffer.from(JSON.stringify(claims)).toString('base64url');
}

function readClaims(token: string): EnrollmentTokenClaims {
  if (!token.startsWith(prefix)) {
    throw new CommandError('the hub answered with a token of an unknown form', 'Update selvedge.');
  }
  return JSON.parse(
    Buffer.from(token.slice(prefix.length), 'base64url').toString('utf8'),
  ) as EnrollmentTokenClaims;
}
