// @peculiar/x509 uses decorators' metadata without importing the polyfill itself.
import 'reflect-metadata';
import { randomBytes, type webcrypto } from 'node:crypto';
import { isIP } from 'node:net';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  cryptoProvider,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';

/**
 * Makes keys and certificates. Import this file lazily: its X.509 library costs a noticeable part of a second and of
 * the memory budget, and most starts issue nothing.
 */
export interface IssuedCertificate {
  /** PEM, PKCS8. */
  readonly key: string;
  /** PEM. */
  readonly certificate: string;
}

export interface Authority {
  readonly key: string;
  readonly certificate: string;
}

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const dayMilliseconds = 86_400_000;
/** Clients' clocks may be behind ours. */
const backdateMilliseconds = 3_600_000;
const authorityDays = 20 * 365;
const leafDays = 365;

cryptoProvider.set(globalThis.crypto);

/** A new certificate authority that can issue leaves only. */
export async function issueAuthority(hubId: string, now: Date): Promise<Authority> {
  const keys = await generateKeys();
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: newSerialNumber(),
    name: [{ CN: ['selvedge hub'] }, { OU: [hubId] }],
    ...validity(now, authorityDays),
    keys,
    signingAlgorithm: algorithm,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { key: await exportKey(keys.privateKey), certificate: certificate.toString('pem') };
}

/** A certificate for the HTTPS listener. `names` are DNS names and IP addresses. */
export function issueServerCertificate(
  authority: Authority,
  names: readonly string[],
  now: Date,
): Promise<IssuedCertificate> {
  const alternatives = names.map((name) => ({ type: isIP(name) ? 'ip' : 'dns', value: name }) as const);
  return issueLeaf(authority, now, {
    name: [{ CN: ['selvedge-hub'] }],
    usage: ExtendedKeyUsage.serverAuth,
    extensions: [new SubjectAlternativeNameExtension(alternatives)],
  });
}

/** A certificate by which a person or program is known: CN is the user, O the groups. */
export function issueClientCertificate(
  authority: Authority,
  user: { name: string; groups: readonly string[] },
  now: Date,
): Promise<IssuedCertificate> {
  return issueLeaf(authority, now, {
    name: [...user.groups.map((group) => ({ O: [group] })), { CN: [user.name] }],
    usage: ExtendedKeyUsage.clientAuth,
    extensions: [],
  });
}

interface Leaf {
  readonly name: Record<string, string[]>[];
  readonly usage: string;
  readonly extensions: SubjectAlternativeNameExtension[];
}

async function issueLeaf(authority: Authority, now: Date, leaf: Leaf): Promise<IssuedCertificate> {
  const issuer = new X509Certificate(authority.certificate);
  const keys = await generateKeys();
  const certificate = await X509CertificateGenerator.create({
    serialNumber: newSerialNumber(),
    subject: leaf.name,
    issuer: issuer.subject,
    ...validity(now, leafDays),
    publicKey: keys.publicKey,
    signingKey: await importKey(authority.key),
    signingAlgorithm: algorithm,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([leaf.usage]),
      await AuthorityKeyIdentifierExtension.create(issuer),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
      ...leaf.extensions,
    ],
  });
  return { key: await exportKey(keys.privateKey), certificate: certificate.toString('pem') };
}

function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
}

async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  return `${PemConverter.encode(await crypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY')}\n`;
}

function importKey(pem: string): Promise<webcrypto.CryptoKey> {
  return crypto.subtle.importKey('pkcs8', PemConverter.decodeFirst(pem), algorithm, false, ['sign']);
}

function validity(now: Date, days: number): { notBefore: Date; notAfter: Date } {
  return {
    notBefore: new Date(now.getTime() - backdateMilliseconds),
    notAfter: new Date(now.getTime() + days * dayMilliseconds),
  };
}

/** 127 random bits, positive, as RFC 5280 4.1.2.2 wants. */
function newSerialNumber(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x01;
  return bytes.toString('hex');
}
