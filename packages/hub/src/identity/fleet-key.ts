import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  hkdfSync,
  type KeyObject,
  sign,
} from 'node:crypto';
import { keyFingerprint } from '@selvedge/api/node';

/** The Ed25519 key by which every agent knows this hub. Signs desired state and the hub's identity. */
export interface FleetKey {
  /** Raw, base64url. */
  readonly publicKey: string;
  readonly fingerprint: string;
  /** Compact JWS over the text. */
  sign(payload: string): Promise<string>;
  /** 32 bytes for one purpose: the same as long as this key lives, and nothing can be learnt from them about it. */
  derive(purpose: string): Buffer;
}

const protectedHeader = Buffer.from(JSON.stringify({ alg: 'EdDSA' })).toString('base64url');

/** PEM (PKCS8) of a new key. */
export function generateFleetKeyPem(): string {
  return generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}

/** Throws when the text is not the PEM of an Ed25519 private key. */
export function fleetKeyFromPem(pem: string): FleetKey {
  const privateKey = createPrivateKey(pem);
  if (privateKey.asymmetricKeyType !== 'ed25519') {
    throw new Error(`an Ed25519 key is wanted, this is ${privateKey.asymmetricKeyType}`);
  }
  const publicKey = rawPublicKey(privateKey);
  return {
    publicKey,
    fingerprint: keyFingerprint(publicKey),
    sign: async (payload) => {
      const text = `${protectedHeader}.${Buffer.from(payload).toString('base64url')}`;
      return `${text}.${sign(null, Buffer.from(text), privateKey).toString('base64url')}`;
    },
    derive: (purpose) =>
      Buffer.from(hkdfSync('sha256', privateKey.export({ type: 'pkcs8', format: 'der' }), '', purpose, 32)),
  };
}

function rawPublicKey(privateKey: KeyObject): string {
  const { x } = createPublicKey(privateKey).export({ format: 'jwk' });
  if (x === undefined) throw new Error('the key has no public half');
  return x;
}
