import { createHash, createPublicKey, verify } from 'node:crypto';
import { StatusError } from '@selvedge/api';

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
  readonly keyFingerprint: string;
  readonly site: string;
  readonly claims: Readonly<Record<string, unknown>>;
  /** What the signature is over. */
  readonly signedText: string;
  readonly signature: Uint8Array;
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
  const [header = '', payload = '', signature = '', ...more] = text.split('.');
  try {
    const { kid, alg, crit } = decodePart(header);
    const claims = decodePart(payload);
    const { iss } = claims;
    if (signature === '' || more.length > 0) throw new Error('it has not three parts');
    if (typeof kid !== 'string' || typeof iss !== 'string') throw new Error('kid or iss is missing');
    if (alg !== 'EdDSA') throw new Error('alg is not EdDSA');
    if (crit !== undefined) throw new Error('crit is not understood');
    return {
      keyFingerprint: kid,
      site: iss,
      claims,
      signedText: `${header}.${payload}`,
      signature: Buffer.from(signature, 'base64url'),
    };
  } catch (error) {
    throw unauthorized(`the agent token is malformed: ${(error as Error).message}`, error);
  }
}

function decodePart(part: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(part, 'base64url').toString('utf8'));
  } catch (cause) {
    throw new Error('a part is not JSON in base64url', { cause });
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw new Error('a part is not an object');
}

/**
 * Verifies a token against a raw Ed25519 public key. The signature comes first, so that what else is wrong is only
 * told to the holder of the key. Throws Unauthorized, in words that name the cause.
 */
export function verifyAgentJwt(
  jwt: UnverifiedJwt,
  expected: { publicKey: string; audience: string; now: Date },
): AgentClaims {
  if (!isSignedBy(jwt, expected.publicKey)) {
    throw unauthorized(
      `the signature of the agent token does not fit key ${jwt.keyFingerprint}: the request was changed on its way, or the agent signs with another key`,
    );
  }
  const { aud, iat, exp, bh, jti } = jwt.claims;
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

/** By node:crypto: every request of every site comes through here, and jose's way over WebCrypto costs twice as much. */
function isSignedBy({ signedText, signature }: UnverifiedJwt, publicKey: string): boolean {
  try {
    const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: publicKey }, format: 'jwk' });
    return verify(null, Buffer.from(signedText), key, signature);
  } catch {
    // Not a key: at enrolment it comes from the request.
    return false;
  }
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
