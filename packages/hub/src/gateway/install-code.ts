import { type InstallWish, StatusError } from '@selvedge/api';
import type { HubIdentity } from '../identity/hub-identity.ts';

/** How long an address of manifests is good: it is made to be used at once. */
export const installCodeSeconds = 15 * 60;

/** What a code says: nothing in it is secret, its signature is. */
export interface InstallClaims {
  /** Name of the EnrollmentToken. */
  readonly token: string;
  readonly expiresAt: Date;
  readonly wish: InstallWish;
}

type Signer = Pick<HubIdentity, 'installSignature' | 'isInstallSignature'>;

interface Payload {
  readonly t: string;
  /** Seconds since 1970. */
  readonly e: number;
  readonly w: InstallWish;
}

const longestPayload = 6000;
const form = /^([A-Za-z0-9_-]{1,6000})\.([A-Za-z0-9_-]{43})$/;

/** Derived and signed, never stored: deleting the EnrollmentToken ends its codes (decision 0009). */
export function encodeInstallCode(claims: InstallClaims, tokenUid: string, signer: Signer): string {
  const payload: Payload = {
    t: claims.token,
    e: Math.floor(claims.expiresAt.getTime() / 1000),
    w: claims.wish,
  };
  const text = Buffer.from(JSON.stringify(payload)).toString('base64url');
  if (text.length > longestPayload) {
    throw new StatusError('BadRequest', 'too much is asked for to fit into an address');
  }
  return `${text}.${signer.installSignature(tokenUid, text)}`;
}

/** What the code claims, not yet proven; undefined when it is none. */
export function readInstallCode(
  code: string,
): { claims: InstallClaims; isSigned: (tokenUid: string, signer: Signer) => boolean } | undefined {
  const [, text, signature] = form.exec(code) ?? [];
  if (text === undefined || signature === undefined) return undefined;
  let payload: Partial<Payload> | null;
  try {
    payload = JSON.parse(Buffer.from(text, 'base64url').toString('utf8')) as Partial<Payload> | null;
  } catch {
    return undefined;
  }
  const { t, e, w } = payload ?? {};
  if (typeof t !== 'string' || typeof e !== 'number' || typeof w !== 'object' || w === null) return undefined;
  return {
    claims: { token: t, expiresAt: new Date(e * 1000), wish: w },
    isSigned: (tokenUid, signer) => signer.isInstallSignature(tokenUid, text, signature),
  };
}
