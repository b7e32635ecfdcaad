import { X509Certificate } from 'node:crypto';
import { faultOfCertificates, splitPem, type TlsMaterial } from '@selvedge/apiserver';
import type { Clock, Logger } from '@selvedge/api';
import type { ClusterAccess } from '../identity/admin-kubeconfig.ts';
import { parsePair } from '../identity/certificate-check.ts';
import type { HubIdentity } from '../identity/hub-identity.ts';
import type { WatchedFiles } from '../identity/watch-files.ts';
import { type AuthenticationOptions, readOptionFile } from './authentication-options.ts';
import { HubOptionError } from './hub-option-error.ts';

export interface HubTlsOptions {
  readonly identity: Pick<
    HubIdentity,
    'caCertificate' | 'serverCertificate' | 'findServerCertificate' | 'serverCertificatePaths'
  >;
  /** DNS names and addresses that a certificate of our own covers. */
  readonly names: readonly string[];
  readonly files: Pick<AuthenticationOptions, 'servingFiles' | 'clientCaFile'>;
  readonly clock: Clock;
  readonly logger: Logger;
}

const soonMilliseconds = 14 * 86_400_000;

/** What the listener shows and whom it believes: a certificate of the hub's own authority, or one that was given. */
export class HubTls {
  readonly #o: HubTlsOptions;
  #inUse: TlsMaterial | undefined;

  constructor(options: HubTlsOptions) {
    this.#o = options;
  }

  /** For the start: one of our own is issued when due. Throws HubOptionError for files that cannot be used. */
  async open(): Promise<TlsMaterial> {
    const { identity, names, files } = this.#o;
    if (!files.servingFiles) await identity.serverCertificate(names);
    this.#inUse = await this.#read();
    this.#warnOfExpiry();
    return this.#inUse;
  }

  /** Puts changed files to use, without a restart; then `onChange` is called. */
  watched(listener: { setTls(tls: TlsMaterial): void }, onChange: () => Promise<unknown>): WatchedFiles {
    const { identity, files } = this.#o;
    const own = identity.serverCertificatePaths;
    const { certificate, key } = files.servingFiles ?? own;
    return {
      paths: [certificate, key, ...(files.clientCaFile === undefined ? [] : [files.clientCaFile])],
      reload: async () => {
        const read = await this.#read();
        const isSame =
          read.cert === this.#inUse?.cert &&
          read.key === this.#inUse.key &&
          read.clientCa === this.#inUse.clientCa;
        if (isSame) return;
        if (read.cert !== this.#inUse?.cert) this.#refuseExpired(read.cert);
        listener.setTls(read);
        this.#inUse = read;
        const { fingerprint256, validTo } = new X509Certificate(read.cert);
        this.#o.logger.info('TLS certificates in use changed', {
          component: 'identity',
          fingerprint: fingerprint256,
          validTo,
        });
        await onChange();
      },
    };
  }

  /** Renews a certificate of our own when it is due; who gave us another one has to renew that one. */
  async renew(): Promise<void> {
    if (this.#o.files.servingFiles) this.#warnOfExpiry();
    else await this.#o.identity.serverCertificate(this.#o.names);
  }

  #warnOfExpiry(): void {
    if (!this.#o.files.servingFiles || !this.#inUse) return;
    const { validTo, validToDate } = new X509Certificate(this.#inUse.cert);
    if (validToDate.getTime() - this.#o.clock.now().getTime() > soonMilliseconds) return;
    this.#o.logger.warn('the given TLS certificate expires soon or has expired: replace the file', {
      component: 'identity',
      file: this.#o.files.servingFiles.certificate,
      validTo,
    });
  }

  /** How a kubeconfig of ours reaches this listener at `server`. */
  access(server: string): ClusterAccess {
    const own = this.#o.identity.caCertificate;
    if (!this.#o.files.servingFiles || !this.#inUse) return { server, authorities: own };
    const certificate = new X509Certificate(this.#inUse.cert);
    const { hostname } = new URL(server);
    const name = serverNameFor(certificate, hostname.replace(/^\[|\]$/g, ''));
    return {
      server,
      authorities: `${own.trim()}\n${this.#inUse.cert}`,
      ...(name === undefined ? {} : { tlsServerName: name }),
    };
  }

  /** PEM: our own authority, and the very certificate that was given, which every hub of the fleet shows then. */
  peerAuthorities(): string[] {
    const own = this.#o.identity.caCertificate;
    if (!this.#o.files.servingFiles || !this.#inUse) return [own];
    return [own, new X509Certificate(this.#inUse.cert).toString()];
  }

  async #read(): Promise<TlsMaterial> {
    const { identity, files } = this.#o;
    const clientCa = identity.caCertificate + (await readClientCa(files.clientCaFile));
    if (files.servingFiles) return { ...(await readServingPair(files.servingFiles)), clientCa };
    const own = await identity.findServerCertificate();
    if (!own) throw new Error('the certificate of the server is missing');
    parsePair(own);
    return { key: own.key, cert: own.certificate, clientCa };
  }

  #refuseExpired(cert: string): void {
    const { validToDate, validFromDate, validFrom, validTo } = new X509Certificate(cert);
    const now = this.#o.clock.now();
    if (validToDate <= now) throw new Error(`the new certificate has expired: ${validTo}`);
    if (validFromDate > now) throw new Error(`the new certificate is not valid yet: ${validFrom}`);
  }
}

async function readClientCa(path: string | undefined): Promise<string> {
  if (path === undefined) return '';
  const pem = await readOptionFile('--client-ca-file', path);
  const fault = faultOfCertificates(pem);
  if (fault !== undefined) throw new HubOptionError(`--client-ca-file ${path} ${fault}`);
  return `\n${splitPem(pem).join('\n')}\n`;
}

async function readServingPair(files: { certificate: string; key: string }) {
  const cert = await readOptionFile('--tls-cert-file', files.certificate);
  const key = await readOptionFile('--tls-private-key-file', files.key);
  const fault = faultOfCertificates(cert);
  if (fault !== undefined) throw new HubOptionError(`--tls-cert-file ${files.certificate} ${fault}`);
  const certificates = `${splitPem(cert).join('\n')}\n`;
  try {
    parsePair({ key, certificate: certificates });
  } catch (cause) {
    throw new HubOptionError(
      `--tls-private-key-file ${files.key} does not go with ${files.certificate}: ${(cause as Error).message}`,
      { cause },
    );
  }
  return { key, cert: certificates };
}

/** A name of the certificate, when that of the address is none; `undefined` when none is needed, or there is none. */
function serverNameFor(certificate: X509Certificate, host: string): string | undefined {
  if (certificate.checkIP(host) ?? certificate.checkHost(host)) return undefined;
  const names = certificate.subjectAltName?.split(', ') ?? [];
  const name = names.find((text) => text.startsWith('DNS:'))?.slice('DNS:'.length);
  // Any name below a wildcard will do.
  return name?.replace(/^\*/, 'selvedge');
}
