import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
} from 'node:crypto';

/** The keys behind the tokens of service accounts. */
export interface SigningKeys {
  /** Signs. */
  readonly active: { readonly id: string; readonly privateKey: KeyObject };
  /** By key id; all of them verify, the active one too. */
  readonly publicKeys: ReadonlyMap<string, KeyObject>;
}

/** `P-256`, for which every library has a verifier: tokens are shown to others than us. */
export const signingAlgorithm = 'ES256';
const curve = 'prime256v1';

/** PEM (PKCS8) of a new key. */
export function generateSigningKeyPem(): string {
  return generateKeyPairSync('ec', { namedCurve: curve })
    .privateKey.export({ type: 'pkcs8', format: 'pem' })
    .toString();
}

/**
 * Reads PEM blocks: the first is the private key that signs; those after it, private or public, verify what was signed
 * before. Throws when there is none, or one is something else.
 */
export function parseSigningKeys(pem: string): SigningKeys {
  const [first, ...others] = splitKeys(pem);
  if (first === undefined) throw new Error('it holds no key in PEM');
  const privateKey = createPrivateKey(first);
  const publicKeys = [createPublicKey(privateKey), ...others.map((text) => createPublicKey(text))];
  for (const key of publicKeys) {
    if (key.asymmetricKeyType !== 'ec' || key.asymmetricKeyDetails?.namedCurve !== curve) {
      throw new Error(`keys of type EC P-256 are wanted, one is ${key.asymmetricKeyType}`);
    }
  }
  return {
    active: { id: keyId(createPublicKey(privateKey)), privateKey },
    publicKeys: new Map(publicKeys.map((key) => [keyId(key), key])),
  };
}

/** The file with a new key in front: it signs from now on, the others go on verifying, without their private halves. */
export function withNewSigningKey(pem: string): string {
  const publicHalves = splitKeys(pem).map((text) =>
    createPublicKey(text).export({ type: 'spki', format: 'pem' }).toString(),
  );
  return [generateSigningKeyPem(), ...publicHalves].join('');
}

/** RFC 7517. */
export function jsonWebKeySet({ publicKeys }: SigningKeys): { keys: object[] } {
  return {
    keys: [...publicKeys].map(([id, key]) => ({
      ...key.export({ format: 'jwk' }),
      kid: id,
      alg: signingAlgorithm,
      use: 'sig',
    })),
  };
}

/** As kube-apiserver makes it: the digest of the public key. */
function keyId(key: KeyObject): string {
  return createHash('sha256')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest('base64url');
}

function splitKeys(pem: string): string[] {
  return pem.match(/-----BEGIN ([A-Z ]*KEY)-----[\s\S]+?-----END \1-----\n?/g) ?? [];
}
