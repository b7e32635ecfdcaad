import { randomUUID } from 'node:crypto';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { type CryptoKey, exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose';

/** An OpenID Connect issuer on loopback: discovery and keys over HTTPS, and tokens for whoever asks. */
export interface OidcIssuer {
  readonly url: string;
  /** PEM that its certificate is trusted by. */
  readonly caCertificate: string;
  /** How often each path was asked for. */
  readonly requests: Readonly<Record<string, number>>;
  /** A token by the present key, valid for an hour; `header` goes over `alg` and `kid`. */
  token(claims: Record<string, unknown>, header?: { kid?: string | undefined }): Promise<string>;
  /** A new key; the old one is withdrawn, unless it is to stay. */
  rotate(options?: { keepOld?: boolean }): Promise<void>;
  /** What it answers from now on: `slow` never. */
  behave(how: 'well' | 'badly' | 'slowly'): void;
  close(): Promise<void>;
}

interface SigningKey {
  readonly id: string;
  readonly privateKey: CryptoKey;
  readonly jwk: JWK;
}

const algorithm = 'RS256';

export async function startOidcIssuer(): Promise<OidcIssuer> {
  // Its X.509 library takes half a second to load.
  const { loopbackCertificate } = await import('./loopback-certificate.ts');
  const { key, certificate } = await loopbackCertificate();
  let keys: SigningKey[] = [await makeKey()];
  let behaviour: 'well' | 'badly' | 'slowly' = 'well';
  const requests: Record<string, number> = {};
  const server: Server = createServer({ key, cert: certificate }, (req, res) => {
    const path = req.url ?? '';
    requests[path] = (requests[path] ?? 0) + 1;
    if (behaviour === 'slowly') return;
    const documents: Record<string, unknown> = {
      '/.well-known/openid-configuration': { issuer: url, jwks_uri: `${url}/keys` },
      '/keys': { keys: keys.map(({ jwk }) => jwk) },
    };
    const document = behaviour === 'badly' ? undefined : documents[path];
    res.statusCode = document === undefined ? 503 : 200;
    res.setHeader('content-type', 'application/json');
    res.end(JSON.stringify(document ?? {}));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url,
    caCertificate: certificate,
    requests,
    token: async (claims, header) => {
      const [signer] = keys;
      if (!signer) throw new Error('the issuer has no key');
      const now = Math.floor(new Date().getTime() / 1000);
      const kid = header && 'kid' in header ? header.kid : signer.id;
      return new SignJWT({ iss: url, iat: now, exp: now + 3600, ...claims })
        .setProtectedHeader({ alg: algorithm, ...(kid === undefined ? {} : { kid }) })
        .sign(signer.privateKey);
    },
    rotate: async ({ keepOld = false } = {}) => {
      keys = [await makeKey(), ...(keepOld ? keys : [])];
    },
    behave: (how) => {
      behaviour = how;
    },
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function makeKey(): Promise<SigningKey> {
  const { privateKey, publicKey } = await generateKeyPair(algorithm, { extractable: true });
  const id = randomUUID();
  return { id, privateKey, jwk: { ...(await exportJWK(publicKey)), kid: id, alg: algorithm, use: 'sig' } };
}
