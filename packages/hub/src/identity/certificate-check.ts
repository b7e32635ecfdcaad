import { createPrivateKey, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';

export interface KeyAndCertificate {
  readonly key: string;
  readonly certificate: string;
}

/** A leaf with less than this left is renewed. */
export const renewBeforeMilliseconds = 30 * 86_400_000;

/** Throws when key or certificate cannot be read or do not belong together. */
export function parsePair(pair: KeyAndCertificate): X509Certificate {
  const certificate = new X509Certificate(pair.certificate);
  if (!certificate.checkPrivateKey(createPrivateKey(pair.key))) {
    throw new Error('the key does not belong to the certificate');
  }
  return certificate;
}

/** Why a leaf has to be issued again; `undefined` while it is good. */
export function findRenewalReason(
  pair: KeyAndCertificate,
  expected: { authority: string; names: readonly string[]; now: Date },
): string | undefined {
  let certificate: X509Certificate;
  try {
    certificate = parsePair(pair);
  } catch {
    return 'damaged';
  }
  const authority = new X509Certificate(expected.authority);
  if (!certificate.verify(authority.publicKey)) return 'issued by another authority';
  const remaining = certificate.validToDate.getTime() - expected.now.getTime();
  if (remaining < renewBeforeMilliseconds) return 'expires soon';
  if (certificate.validFromDate > expected.now) return 'not valid yet';
  if (!hasExactNames(certificate, expected.names)) return 'other names';
  return undefined;
}

/** DNS names and addresses that a certificate covers. */
export function namesOf(certificate: X509Certificate): string[] {
  const names = certificate.subjectAltName?.split(', ') ?? [];
  return names.map((name) => name.replace(/^(DNS|IP Address):/, ''));
}

function hasExactNames(certificate: X509Certificate, names: readonly string[]): boolean {
  const present = namesOf(certificate);
  const covers = (name: string) =>
    (isIP(name) ? certificate.checkIP(name) : certificate.checkHost(name)) !== undefined;
  return present.length === names.length && names.every(covers);
}
