import { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { getCACertificates, type TLSSocket } from 'node:tls';

/** The server showed a certificate that this agent does not trust. */
export class UntrustedServer extends Error {
  override readonly name = 'UntrustedServer';
}

/** Times by which dates of certificates are judged. */
export interface JudgingTimes {
  /** Hub time, when the hub has told it since this process started. */
  readonly hubNow: Date | undefined;
  readonly machineNow: Date;
}

/**
 * Whether the server of a finished handshake (so it holds its key) shows a certificate of the hub's own CA for this host.
 * False: another CA's, judge it with `verifyPublicServer`. Throws `UntrustedServer` for one that may not be used.
 *
 * It counts as expired when the hub's time and the machine's both say so. One alone may not lock a site out: the
 * machine's clock may be a year off, and the hub's may have been for a moment.
 */
export function isHubServer(
  socket: TLSSocket,
  expected: { host: string; hubCa: X509Certificate } & JudgingTimes,
): boolean {
  const leaf = getLeaf(socket);
  if (findChain(leaf, [expected.hubCa]) === undefined) return false;
  checkPurpose(leaf, expected.host);
  if (
    expected.hubNow !== undefined &&
    leaf.validToDate < expected.hubNow &&
    leaf.validToDate < expected.machineNow
  ) {
    throw new UntrustedServer(
      `the hub's certificate expired at ${leaf.validTo}; restart the hub, it renews the certificate at start`,
    );
  }
  return true;
}

/**
 * Judges a server whose connection was made with the system's CAs: a proxy that ends TLS on the way. OpenSSL's own verdict counts;
 * only when it objects to nothing but dates, and the machine's clock is not to be relied on, dates are judged by the hub's
 * time, and not at all while that is unknown (the first answer tells it).
 */
export function verifyPublicServer(
  socket: TLSSocket,
  expected: {
    host: string;
    trusted: readonly string[] /** PEM, as the connection was made with. */;
  } & JudgingTimes,
): void {
  const leaf = getLeaf(socket);
  checkPurpose(leaf, expected.host);
  if (socket.authorized) return;
  const objection = String(socket.authorizationError);
  if (!dateObjections.has(objection)) {
    throw new UntrustedServer(
      `the server's certificate comes neither from the hub's CA nor from one that this machine trusts (${objection}; issuer: ${oneLine(leaf.issuer)}); the CA of a proxy of your own is given with --ca-file`,
    );
  }
  const chain = findChain(leaf, expected.trusted.map(parse));
  if (chain === undefined) {
    throw new UntrustedServer(
      `the server's certificate does not lead to a CA that this machine trusts (issuer: ${oneLine(leaf.issuer)})`,
    );
  }
  const isClockRight =
    expected.hubNow !== undefined &&
    Math.abs(expected.hubNow.getTime() - expected.machineNow.getTime()) < relevantOffsetMs;
  if (isClockRight) throw new UntrustedServer(`the server's certificate is out of date (${objection})`);
  if (expected.hubNow !== undefined) checkDates(chain, expected.hubNow);
}

/** What this machine trusts: the system's store and NODE_EXTRA_CA_CERTS. Loaded only when it is needed: it costs memory. */
export function publicCertificates(): string[] {
  return [...getCACertificates('system'), ...getCACertificates('extra')];
}

const dateObjections = new Set(['CERT_HAS_EXPIRED', 'CERT_NOT_YET_VALID']);
const relevantOffsetMs = 3_600_000;

/** Extended key usage id-kp-serverAuth; `X509Certificate.keyUsage` gives the extended ones. */
const serverAuthentication = '1.3.6.1.5.5.7.3.1';
const longestChain = 6;

function getLeaf(socket: TLSSocket): X509Certificate {
  const leaf = socket.getPeerX509Certificate();
  if (leaf === undefined) throw new UntrustedServer('the server showed no certificate');
  return leaf;
}

function checkPurpose(leaf: X509Certificate, host: string): void {
  const matches = isIP(host) ? leaf.checkIP(host) : leaf.checkHost(host, { subject: 'never' });
  if (matches === undefined) {
    throw new UntrustedServer(
      `the server's certificate is for ${leaf.subjectAltName ?? 'no host name'}, not for ${host}; give the hub this address with --advertise`,
    );
  }
  if (leaf.keyUsage !== undefined && !leaf.keyUsage.includes(serverAuthentication)) {
    throw new UntrustedServer("the server's certificate is not one for servers");
  }
}

/** Leaf first, root last; intermediates are those that the server sent. */
function findChain(leaf: X509Certificate, roots: readonly X509Certificate[]): X509Certificate[] | undefined {
  const chain = [leaf];
  for (let current = leaf; chain.length < longestChain; ) {
    const root = roots.find((candidate) => isIssuer(candidate, current));
    if (root !== undefined) return [...chain, root];
    const sent = current.issuerCertificate;
    if (sent === undefined || sent.fingerprint256 === current.fingerprint256 || !isIssuer(sent, current)) {
      return undefined;
    }
    chain.push(sent);
    current = sent;
  }
  return undefined;
}

function isIssuer(issuer: X509Certificate, subject: X509Certificate): boolean {
  return issuer.ca && subject.checkIssued(issuer) && subject.verify(issuer.publicKey);
}

function checkDates(chain: readonly X509Certificate[], now: Date): void {
  for (const certificate of chain) {
    if (now < certificate.validFromDate || now > certificate.validToDate) {
      throw new UntrustedServer(
        `a certificate of the server is valid from ${certificate.validFrom} to ${certificate.validTo}, and the hub's time is ${now.toISOString()}`,
      );
    }
  }
}

function parse(pem: string): X509Certificate {
  return new X509Certificate(pem);
}

function oneLine(name: string): string {
  return name.replaceAll('\n', ', ');
}
