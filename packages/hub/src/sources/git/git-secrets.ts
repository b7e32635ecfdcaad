import { type GitSource, type ObjectClient, type Secret, secrets } from '@selvedge/api';
import { SourceError } from '../source-reading.ts';

/** What a Secret says about how to reach a repository. */
export interface GitSecrets {
  readonly username?: string;
  /** Password or token. */
  readonly password?: string;
  /** PEM: the only authorities whose certificates are believed. */
  readonly authorities?: string;
  /** Private key of ssh. */
  readonly identity?: string;
  readonly identityPassword?: string;
  readonly knownHosts?: string;
  /**
   * Who has the same one has the same rights: what was fetched with some credentials is never given to who has others, or another
   * version of them. Holds nothing of their values.
   */
  readonly cacheScope: string;
}

/** Reads the Secret that a source names. Throws SourceError: ReferenceMissing. */
export async function readGitSecrets(
  client: Pick<ObjectClient, 'find'>,
  { source, namespace }: { source: Pick<GitSource, 'secretRef' | 'knownHosts'>; namespace: string },
): Promise<GitSecrets> {
  const inSpec = source.knownHosts ?? '';
  if (source.secretRef === undefined) {
    return { ...(inSpec === '' ? {} : { knownHosts: inSpec }), cacheScope: JSON.stringify(['', inSpec]) };
  }
  const { name } = source.secretRef;
  const secret = await client.find<Secret>(secrets, { namespace, name });
  if (secret === undefined) {
    throw new SourceError('ReferenceMissing', `Secret ${namespace}/${name} is missing: secretRef names it.`);
  }
  const read = (key: string): string | undefined => {
    const value = secret.data?.[key];
    return value === undefined ? undefined : Buffer.from(value, 'base64').toString('utf8');
  };
  const password = withoutLineEnd(read('password') ?? read('token'));
  const username = withoutLineEnd(read('username'));
  const fields = {
    username: username === '' ? undefined : username,
    password: password === '' ? undefined : password,
    authorities: read('ca.crt'),
    identity: read('identity'),
    identityPassword: withoutLineEnd(read('identity.password')),
    knownHosts:
      [read('known_hosts') ?? '', inSpec].filter((text) => text.trim() !== '').join('\n') || undefined,
  };
  if (Object.values(fields).every((value) => value === undefined)) {
    throw new SourceError(
      'ReferenceMissing',
      `Secret ${namespace}/${name} has none of the keys username, password, token, ca.crt, identity, known_hosts.`,
    );
  }
  for (const [field, value] of [
    ['username', username],
    ['password', password],
  ] as const) {
    // It would end the line in what git reads, and begin another.
    if (value !== undefined && /[\p{Cc}\u2028\u2029]/u.test(value)) {
      throw new SourceError(
        'ReferenceMissing',
        `${field} of Secret ${namespace}/${name} has more than one line.`,
      );
    }
  }
  const given = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
  const { uid = '', resourceVersion = '' } = secret.metadata;
  return { ...given, cacheScope: JSON.stringify([namespace, name, uid, resourceVersion, inSpec]) };
}

/** As `echo` and editors put it there. */
function withoutLineEnd(text: string | undefined): string | undefined {
  return text?.replace(/\r?\n$/, '');
}

/** Takes out of a text what must not be shown. */
export function withoutSecrets(
  text: string,
  { username = '', password, identityPassword }: GitSecrets,
): string {
  let shown = text;
  const login = password === undefined ? undefined : `${username}:${password}`;
  for (const secret of [login, password, identityPassword]) {
    if (secret === undefined || secret === '') continue;
    for (const form of [secret, encodeURIComponent(secret), Buffer.from(secret).toString('base64')]) {
      shown = shown.replaceAll(form, '…');
    }
  }
  return shown;
}
