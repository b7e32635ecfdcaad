import { X509Certificate } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Clock, durationHint, type Logger, parseDuration } from '@selvedge/api';
import { writeFileAtomically } from '@selvedge/api/node';
import { withNewSigningKey } from '@selvedge/apiserver';
import { type ClusterAccess, parseAccess, userKubeconfig } from './admin-kubeconfig.ts';
import { type KeyAndCertificate, namesOf, parsePair } from './certificate-check.ts';
import { LeafFiles, type LeafName } from './leaf-files.ts';
import { DataDirectoryError, findPrivateFile, getPrivateFile } from './private-file.ts';
import { ServiceAccountKeys } from './service-account-keys.ts';

export type CertificateName = 'ca' | LeafName;
export type Renewable = CertificateName | 'service-account';

/** One certificate as `selvedge hub cert show` prints it. */
export interface CertificateReport {
  readonly name: CertificateName;
  readonly file: string;
  readonly subject: string;
  readonly issuer: string;
  /** DNS names and addresses. */
  readonly names: readonly string[];
  readonly notBefore: string;
  readonly notAfter: string;
  /** Negative when it has expired. */
  readonly daysLeft: number;
  /** SHA-256, as `openssl x509 -fingerprint -sha256` prints it. */
  readonly fingerprint: string;
  /** Why it is of no use; absent when all is well. */
  readonly problem?: string;
}

export interface HubCertificatesOptions {
  readonly dataDirectory: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface ClientCertificateWish {
  readonly user: string;
  readonly groups: readonly string[];
  /** A duration such as 90d. */
  readonly life: string;
  /** Address for the kubeconfig; absent: that of `admin.kubeconfig`. */
  readonly server?: string;
}

const dayMilliseconds = 86_400_000;
const minLifeSeconds = 600;
/** X.520 ub-common-name. */
const maxNameLength = 64;

/**
 * The certificates in a hub's data directory, for the command line. Works while the hub is stopped, and beside a running
 * one, which notices changed files within seconds. Everything throws DataDirectoryError that says what to do.
 */
export class HubCertificates {
  readonly #o: HubCertificatesOptions;
  readonly #keys: string;
  readonly #kubeconfig: string;

  constructor(options: HubCertificatesOptions) {
    this.#o = options;
    this.#keys = join(options.dataDirectory, 'keys');
    this.#kubeconfig = join(options.dataDirectory, 'admin.kubeconfig');
    if (!existsSync(join(this.#keys, 'hub-id'))) {
      throw new DataDirectoryError(
        `${options.dataDirectory} is not the data directory of a hub: there is no keys/hub-id`,
      );
    }
  }

  async list(): Promise<CertificateReport[]> {
    const authority = await this.#authority();
    const leaves = this.#leaves(authority);
    const reports = [this.#report('ca', join(this.#keys, 'ca.crt'), authority, authority)];
    for (const name of ['server', 'admin'] as const) {
      const pair = await leaves.find(name);
      if (pair) reports.push(this.#report(name, leaves.pathsOf(name).certificate, pair, authority));
    }
    return reports;
  }

  /** Renews one, whether it is due or not. Returns the files that changed. */
  async renew(name: Renewable): Promise<string[]> {
    switch (name) {
      case 'ca':
        return this.#renewAuthority();
      case 'server':
        return this.#renewServer();
      case 'admin':
        return this.#renewAdmin();
      case 'service-account':
        return this.#renewServiceAccountKey();
    }
  }

  /** Text of a kubeconfig for a new user. */
  async issue(wish: ClientCertificateWish): Promise<string> {
    const seconds = checkWish(wish);
    const authority = await this.#authority();
    const now = this.#o.clock.now();
    const ends = new X509Certificate(authority.certificate).validToDate;
    if (now.getTime() + seconds * 1000 > ends.getTime()) {
      throw new DataDirectoryError(
        `the hub's authority itself ends at ${ends.toISOString()}: give a shorter life`,
      );
    }
    const access = wish.server === undefined ? await this.#access() : undefined;
    const { issueClientCertificate } = await import('./issue-certificates.ts');
    const credentials = await issueClientCertificate(
      authority,
      { name: wish.user, groups: wish.groups },
      { now, lifeMilliseconds: seconds * 1000 },
    );
    return userKubeconfig({
      access: access ?? { server: wish.server ?? '', authorities: authority.certificate },
      name: wish.user,
      credentials,
    });
  }

  async #renewAuthority(): Promise<string[]> {
    const { renewAuthority } = await import('./issue-certificates.ts');
    const renewed = await renewAuthority(await this.#authority(), this.#o.clock.now());
    const path = join(this.#keys, 'ca.crt');
    await writeFileAtomically(path, renewed.certificate);
    return [path];
  }

  async #renewServer(): Promise<string[]> {
    const leaves = this.#leaves(await this.#authority());
    const present = await leaves.find('server');
    if (!present)
      throw new DataDirectoryError('there is no server certificate yet: the hub makes it when it starts');
    let names: string[];
    try {
      names = namesOf(new X509Certificate(present.certificate));
    } catch (cause) {
      throw new DataDirectoryError(
        `${leaves.pathsOf('server').certificate} cannot be read, so its names are not known: start the hub, which makes a new one`,
        { cause },
      );
    }
    await leaves.renew('server', names);
    return Object.values(leaves.pathsOf('server'));
  }

  async #renewAdmin(): Promise<string[]> {
    const leaves = this.#leaves(await this.#authority());
    const credentials = await leaves.renew('admin', []);
    const files = Object.values(leaves.pathsOf('admin'));
    if (!existsSync(this.#kubeconfig)) return files;
    const text = userKubeconfig({ access: await this.#access(), name: 'admin', credentials });
    await writeFileAtomically(this.#kubeconfig, text);
    return [...files, this.#kubeconfig];
  }

  async #renewServiceAccountKey(): Promise<string[]> {
    const keys = new ServiceAccountKeys(this.#o.dataDirectory, this.#o.logger);
    await keys.load();
    await writeFileAtomically(keys.path, withNewSigningKey(await getPrivateFile(keys.path)));
    return [keys.path];
  }

  async #authority(): Promise<KeyAndCertificate> {
    const path = join(this.#keys, 'ca.crt');
    const pair = {
      key: await getPrivateFile(join(this.#keys, 'ca.key')),
      certificate: await getPrivateFile(path),
    };
    try {
      parsePair(pair);
      return pair;
    } catch (cause) {
      throw new DataDirectoryError(
        `${path} is damaged (${(cause as Error).message}): restore it from a backup`,
        {
          cause,
        },
      );
    }
  }

  #leaves(authority: KeyAndCertificate): LeafFiles {
    const { clock, logger } = this.#o;
    return new LeafFiles({ directory: this.#keys, authority, clock, logger });
  }

  /** How the administrator's kubeconfig reaches the hub. */
  async #access(): Promise<ClusterAccess> {
    const text = await findPrivateFile(this.#kubeconfig);
    const access = text === undefined ? undefined : parseAccess(text);
    if (access) return access;
    throw new DataDirectoryError(
      `${this.#kubeconfig} ${text === undefined ? 'is missing' : 'is not as the hub wrote it'}: start the hub, which writes it, or give --server URL`,
    );
  }

  #report(
    name: CertificateName,
    file: string,
    ...[pair, authority]: [KeyAndCertificate, KeyAndCertificate]
  ): CertificateReport {
    const none = {
      subject: '',
      issuer: '',
      names: [],
      notBefore: '',
      notAfter: '',
      daysLeft: 0,
      fingerprint: '',
    };
    let certificate: X509Certificate;
    try {
      certificate = parsePair(pair);
    } catch (error) {
      return { name, file, ...none, problem: `damaged: ${(error as Error).message}` };
    }
    const { validToDate, validFromDate } = certificate;
    const now = this.#o.clock.now();
    const isOurs = certificate.verify(new X509Certificate(authority.certificate).publicKey);
    const problem =
      validToDate <= now
        ? 'expired'
        : validFromDate > now
          ? 'not valid yet'
          : isOurs
            ? undefined
            : "not issued by the hub's authority";
    return {
      name,
      file,
      subject: oneLine(certificate.subject),
      issuer: oneLine(certificate.issuer),
      names: namesOf(certificate),
      notBefore: validFromDate.toISOString(),
      notAfter: validToDate.toISOString(),
      daysLeft: Math.floor((validToDate.getTime() - now.getTime()) / dayMilliseconds),
      fingerprint: certificate.fingerprint256,
      ...(problem === undefined ? {} : { problem }),
    };
  }
}

const oneLine = (distinguishedName: string): string => distinguishedName.split('\n').join(', ');

/** Returns the life in seconds. */
function checkWish({ user, groups, life, server }: ClientCertificateWish): number {
  for (const name of [user, ...groups]) {
    if (name === '' || name.length > maxNameLength || /\p{Cc}/u.test(name)) {
      throw new DataDirectoryError(`"${name}" cannot be a name: 1 to ${maxNameLength} characters are wanted`);
    }
  }
  const reserved = [user, ...groups.filter((group) => group !== 'system:masters')].find((name) =>
    name.startsWith('system:'),
  );
  if (reserved !== undefined) {
    throw new DataDirectoryError(
      `"${reserved}" means a part of the system; of those only the group system:masters is given`,
    );
  }
  if (server !== undefined && URL.parse(server)?.protocol !== 'https:') {
    throw new DataDirectoryError(`the address must begin with https://, not "${server}"`);
  }
  const seconds = parseDuration(life);
  if (seconds === undefined) throw new DataDirectoryError(`the life ${durationHint}, not "${life}"`);
  if (seconds < minLifeSeconds)
    throw new DataDirectoryError(`the life must be at least ${minLifeSeconds / 60} minutes`);
  return seconds;
}
