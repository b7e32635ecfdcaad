import {
  type Clock,
  type ObjectClient,
  type RegistryCredential,
  type RegistryCredentialValue,
  type Secret,
  secrets,
} from '@selvedge/api';
import { loginSecretName, readKeptLogin, sameForAll, staticLogins, unusable } from './login-secret.ts';

/**
 * What a RegistryCredential opens its registries with now. Throws `StatusError` (ServiceUnavailable) when there is nothing: its Secret is
 * missing or unusable, or ECR has not answered in time.
 */
export async function credentialValue(
  credential: RegistryCredential,
  { client, clock }: { client: Pick<ObjectClient, 'find'>; clock: Clock },
): Promise<RegistryCredentialValue> {
  const { spec, metadata } = credential;
  const { namespace = '', name } = metadata;
  if (spec.static !== undefined) {
    const wanted = spec.static.secretRef.name;
    const secret = await client.find<Secret>(secrets, { namespace, name: wanted });
    if (secret === undefined) {
      throw unusable(`RegistryCredential "${name}" names the Secret "${wanted}", which is not there`);
    }
    return staticLogins(credential, secret);
  }
  const kept = readKeptLogin(await client.find<Secret>(secrets, { namespace, name: loginSecretName(name) }));
  if (kept === undefined || Date.parse(kept.expiresAt) <= clock.now().getTime()) {
    throw unusable(`RegistryCredential "${name}" has no token yet; its condition Ready says why`);
  }
  return sameForAll(spec.registries, kept);
}
