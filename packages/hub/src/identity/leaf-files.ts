import { join } from 'node:path';
import type { Clock, Logger } from '@selvedge/api';
import { writeFileAtomically } from '@selvedge/api/node';
import { findRenewalReason, type KeyAndCertificate } from './certificate-check.ts';
import { findPrivateFile } from './private-file.ts';

/** The listener's, and that of the first administrator. */
export type LeafName = 'server' | 'admin';

const adminUser = { name: 'admin', groups: ['system:masters'] };

export interface LeafFilesOptions {
  /** DIR/keys. */
  readonly directory: string;
  readonly authority: KeyAndCertificate;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Certificates that may be issued again at any time, in `keys/NAME.key` and `keys/NAME.crt`. */
export class LeafFiles {
  readonly #o: LeafFilesOptions;
  readonly #log: Logger;

  constructor(options: LeafFilesOptions) {
    this.#o = options;
    this.#log = options.logger.child({ component: 'identity' });
  }

  pathsOf(name: LeafName): { readonly key: string; readonly certificate: string } {
    const path = join(this.#o.directory, name);
    return { key: `${path}.key`, certificate: `${path}.crt` };
  }

  /** As the files are; `undefined` when one is missing. */
  async find(name: LeafName): Promise<KeyAndCertificate | undefined> {
    const paths = this.pathsOf(name);
    const key = await findPrivateFile(paths.key);
    const certificate = await findPrivateFile(paths.certificate);
    return key === undefined || certificate === undefined ? undefined : { key, certificate };
  }

  /** Renewed when due. `names`: of the server, none for the admin. */
  async open(name: LeafName, names: readonly string[]): Promise<KeyAndCertificate> {
    const present = await this.find(name);
    const { authority, clock } = this.#o;
    const expected = { authority: authority.certificate, names, now: clock.now() };
    const reason = present ? findRenewalReason(present, expected) : 'missing';
    return present && reason === undefined ? present : this.#issue(name, names, reason ?? 'missing');
  }

  /** A new one, whatever the old one is like. */
  renew(name: LeafName, names: readonly string[]): Promise<KeyAndCertificate> {
    return this.#issue(name, names, 'asked for');
  }

  async #issue(name: LeafName, names: readonly string[], reason: string): Promise<KeyAndCertificate> {
    const { authority, clock } = this.#o;
    const { issueClientCertificate, issueServerCertificate } = await import('./issue-certificates.ts');
    const issued =
      name === 'server'
        ? await issueServerCertificate(authority, names, clock.now())
        : await issueClientCertificate(authority, adminUser, { now: clock.now() });
    const paths = this.pathsOf(name);
    // A crash between the two leaves a pair that does not fit, which the next start takes for damaged and renews.
    await writeFileAtomically(paths.key, issued.key);
    await writeFileAtomically(paths.certificate, issued.certificate);
    this.#log.info('certificate issued', { certificate: name, reason });
    return issued;
  }
}
