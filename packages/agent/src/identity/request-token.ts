import { randomBytes } from 'node:crypto';
import { SignJWT } from 'jose';
import { type AgentKey, bodyHash } from './agent-key.ts';

/** Long enough for a slow way to the hub, shorter than the hub's limit of 5 minutes. */
const lifetimeSeconds = 240;

/** Signs one request: the token says who asks, whom, when and for exactly which body. */
export function signRequestToken(
  key: AgentKey,
  request: { hubId: string /** '' at enrolment. */; site: string; body: Uint8Array; now: Date },
): Promise<string> {
  const issuedAt = Math.floor(request.now.getTime() / 1000);
  return new SignJWT({ bh: bodyHash(request.body) })
    .setProtectedHeader({ alg: 'EdDSA', kid: key.fingerprint })
    .setIssuer(request.site)
    .setAudience(request.hubId)
    .setIssuedAt(issuedAt)
    .setExpirationTime(issuedAt + lifetimeSeconds)
    .setJti(randomBytes(12).toString('base64url'))
    .sign(key.privateKey);
}
