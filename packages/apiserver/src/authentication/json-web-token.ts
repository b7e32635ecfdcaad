/**
 * jose is imported lazily, where a token is signed or verified: it takes 60 ms and 14 MB, and many hubs see
 * certificates only. Its errors are told by their codes.
 */
export interface JoseError extends Error {
  readonly code: string;
  /** Of a claim that was refused. */
  readonly claim?: string;
  readonly reason?: string;
}

export function isJoseError(error: unknown, code?: string): error is JoseError {
  const { code: found } = error as Partial<JoseError>;
  return error instanceof Error && (code === undefined ? (found ?? '').startsWith('ERR_J') : found === code);
}

/** Longer ones are nobody's: no request brings headers of more than this. A TokenReview can. */
const maxTokenLength = 64 * 1024;

/** Who says to have issued a token, before anything is verified; `undefined` when it is no JWT. */
export function claimedIssuer(token: string): string | undefined {
  const [, payload, signature] = token.length > maxTokenLength ? [] : token.split('.', 4);
  if (payload === undefined || signature === undefined) return undefined;
  try {
    const claims: unknown = JSON.parse(Buffer.from(payload, 'base64url').toString('utf8'));
    const { iss } = (claims ?? {}) as { iss?: unknown };
    return typeof iss === 'string' ? iss : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Why a JWT was refused, for the client. What stands in the token is only spoken of when its signature was good: jose
 * looks at claims last.
 */
export function describeJwtFault(error: unknown): string {
  if (!isJoseError(error)) return 'the signature of the token is not good';
  switch (error.code) {
    case 'ERR_JWT_EXPIRED':
      return 'the token has expired: get a new one';
    case 'ERR_JWT_CLAIM_VALIDATION_FAILED':
      return describeClaim(error);
    case 'ERR_JWKS_NO_MATCHING_KEY':
      return 'the token is signed by a key that its issuer does not have';
    case 'ERR_JOSE_ALG_NOT_ALLOWED':
      return 'the token is signed in a way that is not accepted here';
    default:
      return 'the signature of the token is not good';
  }
}

function describeClaim({ claim, reason }: JoseError): string {
  if (claim === 'nbf') return 'the token is not valid yet: compare the clocks of client, issuer and hub';
  if (claim === 'aud') return 'the token is meant for another audience';
  return `the token is refused because of its claim "${claim}" (${reason})`;
}
