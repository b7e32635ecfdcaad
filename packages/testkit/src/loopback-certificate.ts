// @peculiar/x509 uses decorators' metadata without importing the polyfill itself.
import 'reflect-metadata';
import {
  BasicConstraintsExtension,
  cryptoProvider,
  PemConverter,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from '@peculiar/x509';

/** PEM of a key and a certificate for 127.0.0.1 that is its own authority. */
export async function loopbackCertificate(): Promise<{ key: string; certificate: string }> {
  cryptoProvider.set(globalThis.crypto);
  const curve = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const keys = await crypto.subtle.generateKey(curve, true, ['sign', 'verify']);
  const now = new Date().getTime();
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: 'CN=test issuer',
    keys,
    signingAlgorithm: curve,
    notBefore: new Date(now - 3_600_000),
    notAfter: new Date(now + 86_400_000),
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new SubjectAlternativeNameExtension([{ type: 'ip', value: '127.0.0.1' }]),
    ],
  });
  const key = PemConverter.encode(await crypto.subtle.exportKey('pkcs8', keys.privateKey), 'PRIVATE KEY');
  return { key, certificate: `${certificate.toString('pem')}\n` };
}
