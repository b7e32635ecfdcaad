import { X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import type { Clock } from '@selvedge/api';
import { splitPem } from './split-pem.ts';
import { credentialIdKey, type UserInfo } from './user-info.ts';

/** Subject attribute that holds the uid of a user: KEP-5253, registered to Kubernetes. */
const uidAttribute = '1.3.6.1.4.1.57683.2';

interface Peer {
  readonly user: UserInfo;
  readonly validFrom: number;
  readonly validTo: number;
  readonly certificate: X509Certificate;
  /** Which set of authorities it was last checked against. */
  generation: number;
  isTrusted: boolean;
}

/**
 * Users of connections, by their client certificates: CN is the name, each O a group. A certificate is read once for a
 * connection; its dates are looked at for every request, because a connection may outlive it.
 */
export class PeerUsers {
  readonly #clock: Clock;
  /** Keys are whatever lives as long as the connection: TLS sockets, HTTP/2 sessions. `null`: no certificate. */
  readonly #peers = new WeakMap<object, Peer | null>();
  #authorities: readonly X509Certificate[] = [];
  #authoritiesPem = '';
  #generation = 0;

  /** `authorities`: PEM of those whom client certificates must be issued by. */
  constructor(options: { readonly authorities: string; readonly clock: Clock }) {
    this.#clock = options.clock;
    this.setAuthorities(options.authorities);
  }

  /** Connections that are open are judged by these too, from their next request on. */
  setAuthorities(pem: string): void {
    if (pem === this.#authoritiesPem) return;
    this.#authorities = splitPem(pem).map((text) => new X509Certificate(text));
    this.#authoritiesPem = pem;
    this.#generation += 1;
  }

  /** `undefined` without a certificate that is valid now. `connection` is the same object for every request on it. */
  find(connection: object, socket: TLSSocket): UserInfo | undefined {
    let peer = this.#peers.get(connection);
    if (peer === undefined) {
      peer = readPeer(socket, this.#generation) ?? null;
      this.#peers.set(connection, peer);
    }
    if (peer === null) return undefined;
    if (peer.generation !== this.#generation) this.#judgeAgain(peer, socket);
    const now = this.#clock.now().getTime();
    return peer.isTrusted && peer.validFrom <= now && now < peer.validTo ? peer.user : undefined;
  }

  #judgeAgain(peer: Peer, socket: TLSSocket): void {
    peer.generation = this.#generation;
    const trusted = new Set(this.#authorities.map((authority) => authority.fingerprint256));
    peer.isTrusted =
      this.#authorities.some((authority) => isIssuedBy(peer.certificate, authority)) ||
      chainOf(socket).some((fingerprint) => trusted.has(fingerprint));
  }
}

function readPeer(socket: TLSSocket, generation: number): Peer | undefined {
  // Set by the TLS layer when the chain leads to an authority of ours.
  if (!socket.authorized) return undefined;
  const { raw, subject } = socket.getPeerCertificate();
  if (raw === undefined || !subject?.CN) return undefined;
  const certificate = new X509Certificate(raw);
  // `subject` gives an attribute that comes twice as an array.
  const texts = (value: unknown): string[] => [value].flat().filter((text) => typeof text === 'string');
  const names = texts(subject.CN);
  const [uid] = texts((subject as unknown as Record<string, unknown>)[uidAttribute]);
  const fingerprint = certificate.fingerprint256.replaceAll(':', '').toLowerCase();
  return {
    user: {
      name: names.at(-1) ?? '',
      ...(uid === undefined ? {} : { uid }),
      groups: texts(subject.O),
      extra: { [credentialIdKey]: [`X509SHA256=${fingerprint}`] },
    },
    validFrom: certificate.validFromDate.getTime(),
    validTo: certificate.validToDate.getTime(),
    certificate,
    generation,
    isTrusted: true,
  };
}

const isIssuedBy = (certificate: X509Certificate, authority: X509Certificate): boolean =>
  certificate.checkIssued(authority) && certificate.verify(authority.publicKey);

/** Fingerprints of the certificates between the client's and its authority, as the client showed them. */
function chainOf(socket: TLSSocket): string[] {
  const fingerprints: string[] = [];
  let certificate = socket.getPeerCertificate(true);
  // The last one is its own issuer.
  while (certificate?.fingerprint256 !== undefined && !fingerprints.includes(certificate.fingerprint256)) {
    fingerprints.push(certificate.fingerprint256);
    certificate = certificate.issuerCertificate;
  }
  return fingerprints;
}
