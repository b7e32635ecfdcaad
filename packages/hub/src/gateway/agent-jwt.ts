import { createHash, createPublicKey } from 'node:crypto';
import { StatusError } from '@selvedge/api';
import { compactVerify, decodeJwt, decodeProtectedHeader } from 'jose';

/** What a verified agent JWT says. */
export interface AgentClaims {
  /** Site name; '' at enrolment. */
  readonly site: string;
  /** base64url SHA-256 of the body. */
  readonly bodyHash: string;
  readonly jti: string | undefined;
  /** Seconds since 1970. */
  readonly expiresAt: number;
}

/** What the token claims before anything of it is proven: only good for looking up the key. */
export interface UnverifiedJwt {
  readonly text: string;
  readonly keyFingerprint: string;
  readonly site: string;
}

const maxTokenLength = 4_096;
const maxLifeSeconds = 300;
/** Clocks that agree better than this are not worth a word. */
const leewaySeconds = 60;

/** Reads the bearer token of an Authorization header; throws Unauthorized. */
export function decodeAgentJwt(authorization: string | undefined): UnverifiedJwt {
  const text = /^Bearer +(\S+)$/i.exec(authorization ?? '')?.[1];
  if (text === undefined) {
    throw unauthorized('the request has no "Authorization: Bearer" token signed by the agent');
  }
  if (text.length > maxTokenLength) throw unauthorized('the agent token is too long');
  try {
    const { kid, alg } = decodeProtectedHeader(text);
    const { iss } = decodeJwt(text);
    if (typeof kid !== 'string' || typeof iss !== 'string') throw new Error('kid or iss is missing');
    if (alg !== 'EdDSA') throw new Error('alg is not EdDSA');
    return { text, keyFingerprint: kid, site: iss };
  } catch (error) {
    throw unauthorized(`the agent token is malformed: ${(error as Error).message}`, error);
  }
}

/**
 * Verifies a token against a raw Ed25519 public key. The signature comes first, so that what else is wrong is only
 * told to the holder of the key. Throws Unauthorized, in words that name the cause.
 */
export async function verifyAgentJwt(
  jwt: UnverifiedJwt,
  expected: { publicKey: string; audience: string; now: Date },
): Promise<AgentClaims> {
  let payload: Uint8Array;
  try {
    const key = createPublicKey({
      key: { kty: 'OKP', crv: 'Ed25519', x: expected.publicKey },
      format: 'jwk',
    });
    ({ payload } = await compactVerify(jwt.text, key, { algorithms: ['EdDSA'] }));
  } catch (error) {
    throw unauthorized(
      `the signature of the agent token does not fit key ${jwt.keyFingerprint}: the request was changed on its way, or the agent signs with another key`,
      error,
    );
  }
  const claims = JSON.parse(Buffer.from(payload).toString('utf8')) as Record<string, unknown>;
  const { aud, iat, exp, bh, jti } = claims;
  if (aud !== expected.audience) {
    throw unauthorized(
      `the agent token is for hub "${String(aud)}", this is hub "${expected.audience}": the agent is enrolled at another hub`,
    );
  }
  if (!isTime(iat) || !isTime(exp) || exp <= iat || exp - iat > maxLifeSeconds) {
    throw unauthorized(`the agent token must have iat and exp at most ${maxLifeSeconds} s apart`);
  }
  checkClock({ iat, exp }, expected.now);
  if (typeof bh !== 'string') throw unauthorized('the agent token has no body hash (claim "bh")');
  return {
    site: jwt.site,
    bodyHash: bh,
    jti: typeof jti === 'string' && jti.length <= 200 ? jti : undefined,
    expiresAt: exp,
  };
}

/** Throws when the token was made for another body. */
export function checkBodyHash(claims: AgentClaims, body: Uint8Array): void {
  if (createHash('sha256').update(body).digest('base64url') === claims.bodyHash) return;
  throw unauthorized(
    'the body of the request is not the one that the agent signed: it was changed on its way',
  );
}

function checkClock({ iat, exp }: { iat: number; exp: number }, now: Date): void {
  const hubSeconds = now.getTime() / 1000;
  const isAhead = iat > hubSeconds + leewaySeconds;
  const isBehind = exp < hubSeconds - leewaySeconds;
  if (!isAhead && !isBehind) return;
  const difference = Math.round(Math.abs(iat - hubSeconds));
  throw unauthorized(
    `the agent's clock is ${difference} s ${isAhead ? 'ahead of' : 'behind'} the hub's (or the request was held back on its way): the hub's clock says ${now.toISOString()}; measure the offset by the header selvedge-hub-time and ask again, or set the machine's clock`,
  );
}

export function unauthorized(message: string, cause?: unknown): StatusError {
  return new StatusError('Unauthorized', message, { cause });
}

function isTime(value: unknown): value is number {
  // Up to the year 9999, so that messages can show it.
  return typeof value === 'number' && Number.isFinite(value) && value >= 0 && value < 253_402_300_800;
}
