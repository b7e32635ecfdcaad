// @peculiar/x509 uses decorators' metadata without importing the polyfill itself.
import 'reflect-metadata';
import {
  BasicConstraintsExtension,
  cryptoProvider,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  PemConverter,
  X509CertificateGenerator,
} from '@peculiar/x509';
import type { ClusterUser } from './cluster-server.ts';

/** Issues client certificates: the common name is the user, organizations are its groups. */
export interface ClientAuthority {
  /** PEM. */
  readonly certificate: string;
  issue(user: ClusterUser): Promise<{ cert: string; key: string }>;
}

const curve = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

export async function createClientAuthority(): Promise<ClientAuthority> {
  cryptoProvider.set(globalThis.crypto);
  const keys = await crypto.subtle.generateKey(curve, true, ['sign', 'verify']);
  const now = new Date().getTime();
  const validity = { notBefore: new Date(now - 3_600_000), notAfter: new Date(now + 86_400_000) };
  const authority = await X509CertificateGenerator.createSelfSigned({
    name: 'CN=test clients',
    keys,
    signingAlgorithm: curve,
    ...validity,
    extensions: [new BasicConstraintsExtension(true, 0, true)],
  });
  return {
    certificate: `${authority.toString('pem')}\n`,
    issue: async ({ name, groups = [] }) => {
      const own = await crypto.subtle.generateKey(curve, true, ['sign', 'verify']);
      const certificate = await X509CertificateGenerator.create({
        subject: [{ CN: [name] }, ...groups.map((group) => ({ O: [group] }))],
        issuer: authority.subject,
        signingKey: keys.privateKey,
        publicKey: own.publicKey,
        signingAlgorithm: curve,
        ...validity,
        extensions: [new ExtendedKeyUsageExtension([ExtendedKeyUsage.clientAuth])],
      });
      const key = PemConverter.encode(await crypto.subtle.exportKey('pkcs8', own.privateKey), 'PRIVATE KEY');
      return { cert: `${certificate.toString('pem')}\n`, key };
    },
  };
}
