import { createHmac, randomBytes, randomUUID, timingSafeEqual } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock, Logger } from '@selvedge/api';
import { writeFileAtomically } from '@selvedge/api/node';
import { generateSigningKeyPem } from '@selvedge/apiserver';
import type { KeyRing } from '@selvedge/store';
import { type ClusterAccess, userKubeconfig } from './admin-kubeconfig.ts';
import { type KeyAndCertificate, parsePair } from './certificate-check.ts';
import { type FleetKey, fleetKeyFromPem, generateFleetKeyPem } from './fleet-key.ts';
import { LeafFiles } from './leaf-files.ts';
import {
  DataDirectoryError,
  findPrivateFile,
  getPrivateFile,
  openPrivateDirectory,
  publishDirectory,
} from './private-file.ts';
import { parseKeyRing, parseSymmetricKey } from './store-key-file.ts';

/** Who this hub is: what agents pin, what its own certificates come from, and the keys of its store. */
export interface HubIdentity {
  readonly hubId: string;
  readonly fleetKey: FleetKey;
  /** PEM of the hub's own authority. */
  readonly caCertificate: string;
  /** Seal secrets at rest. */
  readonly storeKeys: KeyRing;
  /** The secret of an EnrollmentToken, derived from its uid: nothing to store, nothing to leak. */
  enrollmentSecret(tokenUid: string): string;
  /** In constant time. */
  isEnrollmentSecret(tokenUid: string, secret: string): boolean;
  /** Proves that this hub made an address of manifests for this EnrollmentToken. */
  installSignature(tokenUid: string, text: string): string;
  /** In constant time. */
  isInstallSignature(tokenUid: string, text: string, signature: string): boolean;
  /** Version of a value that goes to sites (`SealedName.version`): tells values apart, and proves no guess. */
  readonly sealedVersion: (id: string, value: string) => string;
  /** Key and certificate for the listener, renewed when due or when the names changed. The CA stays. */
  serverCertificate(names: readonly string[]): Promise<KeyAndCertificate>;
  /** As the files are; `undefined` when one is missing. */
  findServerCertificate(): Promise<KeyAndCertificate | undefined>;
  readonly serverCertificatePaths: { readonly key: string; readonly certificate: string };
  /**
   * Writes `admin.kubeconfig` for this address, with a certificate that is renewed when due; when all of it is there
   * already, nothing. Returns its path.
   */
  writeAdminKubeconfig(access: ClusterAccess): Promise<string>;
}

export interface HubIdentityOptions {
  readonly dataDirectory: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** First line of `keys/hub-id`; another number is another layout of the directory. */
const layout = 'selvedge-hub 1';

/**
 * Opens the identity in a data directory, making it at the first start. Everything that agents or stored data depend
 * on is made once, as a whole, and never again: when a part is missing or damaged, this throws DataDirectoryError.
 * The caller holds the directory's lock.
 */
export async function openHubIdentity(options: HubIdentityOptions): Promise<HubIdentity> {
  const keys = join(options.dataDirectory, 'keys');
  await removeUnfinished(options.dataDirectory);
  if (!existsSync(keys)) await makeKeys(options, keys);
  await openPrivateDirectory(keys);
  const hubId = parseHubId(join(keys, 'hub-id'), await getPrivateFile(join(keys, 'hub-id')));
  const read = async <T>(name: string, parse: (text: string) => T): Promise<T> => {
    const path = join(keys, name);
    const text = await getPrivateFile(path);
    try {
      return parse(text);
    } catch (error) {
      throw damaged(path, error);
    }
  };
  const fleetKey = await read('fleet.key', fleetKeyFromPem);
  const storeKeys = await read('store.key', parseKeyRing);
  const enrollKey = await read('enroll.key', parseSymmetricKey);
  const caKey = await read('ca.key', (text) => text);
  const caCertificate = await read('ca.crt', (certificate) => {
    parsePair({ key: caKey, certificate });
    return certificate;
  });

  const authority = { key: caKey, certificate: caCertificate };
  const { clock, logger } = options;
  const leaves = new LeafFiles({ directory: keys, authority, clock, logger });
  const enrollmentSecret = (tokenUid: string): string =>
    createHmac('sha256', enrollKey).update(`enrollment-token ${tokenUid}`).digest('base64url');
  const installSignature = (tokenUid: string, text: string): string =>
    createHmac('sha256', enrollKey).update(`install ${tokenUid} ${text}`).digest('base64url');
  const versionKey = fleetKey.derive('selvedge sealed version v1');
  return {
    hubId,
    fleetKey,
    caCertificate,
    storeKeys,
    enrollmentSecret,
    isEnrollmentSecret: (tokenUid, secret) => isEqual(enrollmentSecret(tokenUid), secret),
    installSignature,
    isInstallSignature: (tokenUid, text, signature) => isEqual(installSignature(tokenUid, text), signature),
    sealedVersion: (id, value) =>
      createHmac('sha256', versionKey)
        .update(`${id}\n${value}`)
        .digest()
        .subarray(0, versionBytes)
        .toString('base64url'),
    serverCertificate: (names) => leaves.open('server', names),
    findServerCertificate: () => leaves.find('server'),
    serverCertificatePaths: leaves.pathsOf('server'),
    writeAdminKubeconfig: async (access) => {
      const path = join(options.dataDirectory, 'admin.kubeconfig');
      const text = userKubeconfig({ access, name: 'admin', credentials: await leaves.open('admin', []) });
      if ((await findPrivateFile(path)) !== text) await writeFileAtomically(path, text);
      return path;
    },
  };
}

/** Enough that no two values ever share a version; there is one for each Secret in the state of each site. */
const versionBytes = 16;

/** Folder in the data directory that a restore fills; there only while one runs, or when it was killed. */
export const unfinishedRestore = 'restore.unfinished';

async function makeKeys(options: HubIdentityOptions, keys: string): Promise<void> {
  if (existsSync(join(options.dataDirectory, unfinishedRestore))) {
    throw new DataDirectoryError(
      `a restore into ${options.dataDirectory} was not finished: run \`selvedge hub restore\` again, or remove ${join(options.dataDirectory, unfinishedRestore)} to begin with an empty hub`,
    );
  }
  const store = join(options.dataDirectory, 'store.db');
  if (existsSync(store)) {
    throw new DataDirectoryError(
      `${keys} is missing, but ${store} is there: restore keys/ from a backup; new keys could neither read the store nor be trusted by the agents`,
    );
  }
  const { issueAuthority } = await import('./issue-certificates.ts');
  const hubId = randomUUID();
  const authority = await issueAuthority(hubId, options.clock.now());
  const files: Record<string, string> = {
    'fleet.key': generateFleetKeyPem(),
    'store.key': `${randomBytes(32).toString('base64')}\n`,
    'enroll.key': `${randomBytes(32).toString('base64')}\n`,
    'ca.key': authority.key,
    'ca.crt': authority.certificate,
    'service-account.key': generateSigningKeyPem(),
    'hub-id': `${layout}\n${hubId}\n`,
  };
  const unfinished = `${keys}${unfinishedMark}${randomBytes(4).toString('hex')}`;
  await mkdir(unfinished, { mode: 0o700 });
  for (const [name, text] of Object.entries(files)) await writeFileAtomically(join(unfinished, name), text);
  await publishDirectory(unfinished, keys);
  options.logger.info('hub identity made', { component: 'identity', hubId });
}

const unfinishedMark = '.unfinished-';

/** What a first start that was killed left behind; nobody has seen these keys. */
async function removeUnfinished(dataDirectory: string): Promise<void> {
  for (const name of await readdir(dataDirectory)) {
    if (name.startsWith(`keys${unfinishedMark}`)) {
      await rm(join(dataDirectory, name), { recursive: true, force: true });
    }
  }
}

function parseHubId(path: string, text: string): string {
  const [first, hubId] = text.split('\n');
  if (first !== layout && first?.startsWith('selvedge-hub ')) {
    throw new DataDirectoryError(
      `${path} says "${first}": the directory was made by another version of the hub, this one reads "${layout}"; run that version, or give --data another directory`,
    );
  }
  if (first !== layout || hubId === undefined || !/^[0-9a-f-]{36}$/.test(hubId)) {
    throw damaged(path, new Error('not a hub id'));
  }
  return hubId;
}

function damaged(path: string, cause: unknown): DataDirectoryError {
  return new DataDirectoryError(
    `${path} is damaged (${(cause as Error).message}): restore it from a backup; it is never made anew, because agents or stored data depend on it`,
    { cause },
  );
}

function isEqual(a: string, b: string): boolean {
  const digest = (text: string) => createHmac('sha256', 'compare').update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}
