// @peculiar/x509 uses decorators' metadata without importing the polyfill itself.
import 'reflect-metadata';
import { isIP } from 'node:net';
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from '@peculiar/x509';

export interface TestAuthority {
  /** PEM. */
  readonly certificate: string;
  readonly privateKey: CryptoKey;
  readonly name: string;
}

export interface TestCertificate {
  /** PEM. */
  readonly key: string;
  readonly cert: string;
}

type CryptoKey = Awaited<ReturnType<typeof generateKeys>>['privateKey'];

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const dayMs = 86_400_000;

/** A CA of its own, valid for ten years around `now`. */
export async function makeAuthority(name: string, now: Date): Promise<TestAuthority> {
  const keys = await generateKeys();
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: `CN=${name}`,
    notBefore: new Date(now.getTime() - 1825 * dayMs),
    notAfter: new Date(now.getTime() + 1825 * dayMs),
    keys,
    signingAlgorithm: algorithm,
    extensions: [new BasicConstraintsExtension(true, 0, true)],
  });
  return { certificate: certificate.toString('pem'), privateKey: keys.privateKey, name: `CN=${name}` };
}

export async function issueCertificate(
  authority: TestAuthority,
  options: { names: readonly string[]; notBefore: Date; days: number; usage?: 'server' | 'client' },
): Promise<TestCertificate> {
  const keys = await generateKeys();
  const usage = options.usage === 'client' ? ExtendedKeyUsage.clientAuth : ExtendedKeyUsage.serverAuth;
  const certificate = await X509CertificateGenerator.create({
    subject: 'CN=test server',
    issuer: authority.name,
    notBefore: options.notBefore,
    notAfter: new Date(options.notBefore.getTime() + options.days * dayMs),
    publicKey: keys.publicKey,
    signingKey: authority.privateKey,
    signingAlgorithm: algorithm,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new ExtendedKeyUsageExtension([usage]),
      new SubjectAlternativeNameExtension(
        options.names.map((name) => ({ type: isIP(name) ? ('ip' as const) : ('dns' as const), value: name })),
      ),
    ],
  });
  const pkcs8 = await crypto.subtle.exportKey('pkcs8', keys.privateKey);
  return { key: PemConverter.encode(pkcs8, 'PRIVATE KEY'), cert: certificate.toString('pem') };
}

function generateKeys() {
  return crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
}
