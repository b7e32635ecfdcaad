import {
  type RegistryCredentialValue,
  type SealedEnvelope,
  type SealedName,
  sealedValueContext,
  sealedValueInfo,
  type SecretValue,
} from '@selvedge/api';
import { compactVerify } from 'jose';
import type { SealingKeys } from '../identity/sealing-keys.ts';
import { fleetKeyObject, type StateOwner } from '../sync/verify-state.ts';

export type OpenedValue = SecretValue | RegistryCredentialValue;

/** A sealed value that this agent does not take; the message is for people and holds nothing of the value. */
export class SealedValueRefused extends Error {
  override readonly name = 'SealedValueRefused';
}

export interface Opening {
  readonly owner: StateOwner;
  /** The site was deleted and made again: what came before still runs. */
  readonly formerSiteUids: readonly string[];
  readonly keys: SealingKeys;
}

/**
 * Opens what the hub sealed for this very site, id and version; throws `SealedValueRefused` for anything else, whoever carried it. That the
 * version is the present one, the signed state says.
 */
export async function openSealedValue(
  signed: string,
  { id, version }: SealedName,
  { owner, formerSiteUids, keys }: Opening,
): Promise<OpenedValue> {
  const envelope = await verify(signed, owner.fleetKey);
  const wanted = { hubId: owner.hubId, site: owner.site, id, version };
  for (const [field, value] of Object.entries(wanted)) {
    if (envelope[field as keyof typeof wanted] === value) continue;
    throw new SealedValueRefused(`${id}: what came is for another ${field}`);
  }
  if (![owner.siteUid, ...formerSiteUids].includes(envelope.siteUid)) {
    throw new SealedValueRefused(`${id}: what came is for another site of this name`);
  }
  const key = keys.find(envelope.key);
  if (key === undefined) throw new SealedValueRefused(`${id}: what came is sealed to a key that is not here`);
  try {
    const { suite } = await import('./sealing-suite.ts');
    const encoder = new TextEncoder();
    // With both halves nothing has to be derived.
    const pair = {
      privateKey: await suite.DeserializePrivateKey(key.privateKey),
      publicKey: await suite.DeserializePublicKey(bytesOf(key.publicKey)),
    };
    const plain = await suite.Open(pair, bytesOf(envelope.encapsulated), bytesOf(envelope.ciphertext), {
      info: encoder.encode(sealedValueInfo),
      aad: encoder.encode(sealedValueContext(envelope)),
    });
    return JSON.parse(new TextDecoder().decode(plain)) as OpenedValue;
  } catch {
    throw new SealedValueRefused(`${id}: what came cannot be opened`);
  }
}

async function verify(signed: string, fleetKey: string): Promise<SealedEnvelope> {
  try {
    const { payload } = await compactVerify(signed, fleetKeyObject(fleetKey), { algorithms: ['EdDSA'] });
    return JSON.parse(new TextDecoder().decode(payload)) as SealedEnvelope;
  } catch {
    throw new SealedValueRefused(
      'a sealed value is not signed by the fleet key that this agent was enrolled with',
    );
  }
}

function bytesOf(base64url: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.from(base64url, 'base64url'));
}
