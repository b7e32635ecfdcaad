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
  type JsonName,
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
  const name = [{ CN: ['selvedge hub'] }, { OU: [hubId] }];
  return {
    key: await exportKey(keys.privateKey),
    certificate: await signAuthority({ keys, name, now }),
  };
}

/**
 * The same authority for another 20 years: same key, same name. What it has issued goes on being trusted by whoever
 * trusts the old certificate or the new one.
 */
export async function renewAuthority(authority: Authority, now: Date): Promise<Authority> {
  const present = new X509Certificate(authority.certificate);
  const keys = {
    privateKey: await importKey(authority.key),
    publicKey: await present.publicKey.export(algorithm, ['verify'], cryptoProvider.get()),
  };
  const certificate = await signAuthority({ keys, name: present.subjectName.toJSON(), now });
  return { key: authority.key, certificate };
}

async function signAuthority(options: {
  keys: webcrypto.CryptoKeyPair;
  name: JsonName;
  now: Date;
}): Promise<string> {
  const { keys, name, now } = options;
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: newSerialNumber(),
    name,
    ...validity(now, authorityDays * dayMilliseconds),
    keys,
    signingAlgorithm: algorithm,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return certificate.toString('pem');
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

/** A certificate by which a person or program is known: CN is the user, O the groups. For a year unless said otherwise. */
export function issueClientCertificate(
  authority: Authority,
  user: { name: string; groups: readonly string[] },
  time: { now: Date; lifeMilliseconds?: number },
): Promise<IssuedCertificate> {
  return issueLeaf(authority, time.now, {
    name: [...user.groups.map((group) => ({ O: [group] })), { CN: [user.name] }],
    usage: ExtendedKeyUsage.clientAuth,
    extensions: [],
    ...(time.lifeMilliseconds === undefined ? {} : { lifeMilliseconds: time.lifeMilliseconds }),
  });
}

interface Leaf {
  readonly name: Record<string, string[]>[];
  readonly usage: string;
  readonly extensions: SubjectAlternativeNameExtension[];
  readonly lifeMilliseconds?: number;
}

async function issueLeaf(authority: Authority, now: Date, leaf: Leaf): Promise<IssuedCertificate> {
  const issuer = new X509Certificate(authority.certificate);
  const keys = await generateKeys();
  const certificate = await X509CertificateGenerator.create({
    serialNumber: newSerialNumber(),
    subject: leaf.name,
    issuer: issuer.subject,
    ...validity(now, leaf.lifeMilliseconds ?? leafDays * dayMilliseconds),
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

function validity(now: Date, milliseconds: number): { notBefore: Date; notAfter: Date } {
  return {
    notBefore: new Date(now.getTime() - backdateMilliseconds),
    notAfter: new Date(now.getTime() + milliseconds),
  };
}

/** 127 random bits, positive, as RFC 5280 4.1.2.2 wants. */
function newSerialNumber(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x01;
  return bytes.toString('hex');
}
