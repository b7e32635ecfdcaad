import {
  type Clock,
  findForRepository,
  type ObjectClient,
  type RegistryCredential,
  registryCredentials,
  StatusError,
} from '@selvedge/api';
import { credentialValue } from './credential-value.ts';
import type { RegistryLogin, RegistryLogins } from './registry-logins.ts';

/**
 * Logins as the RegistryCredentials of the hub say now; any hub on the database can ask.
 * @param client acts as the hub itself; asked for only when it is used.
 */
export function openRegistryLogins(options: { client: () => ObjectClient; clock: Clock }): RegistryLogins {
  const { clock } = options;
  return {
    find: async (namespace, repository, signal) => {
      signal.throwIfAborted();
      const client = options.client();
      const { items } = await client.list<RegistryCredential>(registryCredentials, { namespace });
      const found = findForRepository(items.flatMap(scopesOf), repository, ({ registry }) => registry);
      return found && loginOf(found.credential, repository, { client, clock });
    },
    get: async ({ namespace, name }, repository, signal) => {
      signal.throwIfAborted();
      const client = options.client();
      const credential = await client.get<RegistryCredential>(registryCredentials, { namespace, name });
      const covers = findForRepository(scopesOf(credential), repository, ({ registry }) => registry);
      const login = covers && (await loginOf(credential, repository, { client, clock }));
      if (login !== undefined) return login;
      throw new StatusError(
        'ServiceUnavailable',
        `RegistryCredential "${name}" has no login for ${repository}: name its registry in spec.registries`,
      );
    },
  };
}

async function loginOf(
  credential: RegistryCredential,
  repository: string,
  context: { client: ObjectClient; clock: Clock },
): Promise<RegistryLogin | undefined> {
  const { logins, expiresAt } = await credentialValue(credential, context);
  const login = findForRepository(logins, repository, ({ registry }) => registry);
  if (login === undefined) return undefined;
  const { username, password } = login;
  return { username, password, ...(expiresAt === undefined ? {} : { expiresAt }) };
}

/** The registries of a RegistryCredential, each with it; in a stable order, so that the same one wins everywhere. */
export function scopesOf(
  credential: RegistryCredential,
): { readonly registry: string; readonly credential: RegistryCredential }[] {
  return credential.spec.registries.map((registry) => ({ registry, credential }));
}
