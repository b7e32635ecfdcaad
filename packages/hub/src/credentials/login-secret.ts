import {
  findForRepository,
  readDockerConfig,
  type RegistryCredential,
  type RegistryCredentialValue,
  registryScope,
  type ScopedLogin,
  type Secret,
  StatusError,
} from '@selvedge/api';

/** Type of the Secrets in which the hub keeps what it was given for a RegistryCredential. */
export const loginSecretType = 'selvedge.dev/registry-login';

/** Name of the hub-made Secret of a RegistryCredential, in its namespace. */
export function loginSecretName(credential: string): string {
  return `registry-credential-${credential}`;
}

/** A token that the hub was given, as it is kept. */
export interface KeptLogin {
  readonly username: string;
  readonly password: string;
  readonly expiresAt: string;
  readonly refreshedAt: string;
  /** Of what it was asked by: another spec needs another token. */
  readonly askedBy: string;
}

export function writeKeptLogin(login: KeptLogin): Record<string, string> {
  return Object.fromEntries(
    Object.entries(login).map(([key, value]) => [key, Buffer.from(String(value), 'utf8').toString('base64')]),
  );
}

/** Undefined when the Secret is none of ours, or not whole. */
export function readKeptLogin(secret: Secret | undefined): KeptLogin | undefined {
  if (secret?.type !== loginSecretType) return undefined;
  const read = (key: keyof KeptLogin) => textOf(secret, key) ?? '';
  const login: KeptLogin = {
    username: read('username'),
    password: read('password'),
    expiresAt: read('expiresAt'),
    refreshedAt: read('refreshedAt'),
    askedBy: read('askedBy'),
  };
  const isWhole = login.password !== '' && !Number.isNaN(Date.parse(login.expiresAt));
  return isWhole && !Number.isNaN(Date.parse(login.refreshedAt)) ? login : undefined;
}

/** The login that a Secret gives each registry of a RegistryCredential. Throws `StatusError` that says what is wrong with it. */
export function staticLogins({ spec }: RegistryCredential, secret: Secret): RegistryCredentialValue {
  const name = `Secret "${secret.metadata.name}"`;
  const config = textOf(secret, '.dockerconfigjson');
  if (config !== undefined) {
    const entries = readDockerConfig(config);
    if (entries === undefined) throw unusable(`${name}: .dockerconfigjson is no docker configuration`);
    return { logins: spec.registries.map((registry) => fromConfig(entries, registryScope(registry), name)) };
  }
  const username = textOf(secret, 'username');
  const password = textOf(secret, 'password');
  if (username === undefined || password === undefined) {
    throw unusable(
      `${name} needs the keys username and password, or the type kubernetes.io/dockerconfigjson`,
    );
  }
  return sameForAll(spec.registries, { username, password });
}

/** The same login for each of the registries. */
export function sameForAll(
  registries: readonly string[],
  login: { readonly username: string; readonly password: string; readonly expiresAt?: string },
): RegistryCredentialValue {
  const { username, password, expiresAt } = login;
  const logins = registries.map((registry) => ({ registry: registryScope(registry), username, password }));
  return { logins, ...(expiresAt === undefined ? {} : { expiresAt }) };
}

/** It cannot be used now; the message says what to do. */
export function unusable(message: string): StatusError {
  return new StatusError('ServiceUnavailable', message);
}

function fromConfig(entries: readonly ScopedLogin[], registry: string, name: string): ScopedLogin {
  const login = findForRepository(entries, registry, (entry) => entry.registry);
  if (login === undefined) throw unusable(`${name} has no login for ${registry}`);
  return { ...login, registry };
}

export function textOf(secret: Secret, key: string): string | undefined {
  const value = secret.data?.[key];
  return value === undefined ? undefined : Buffer.from(value, 'base64').toString('utf8');
}
