import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import {
  canonicalJson,
  type SealedEnvelope,
  type SealedName,
  sealedValueContext,
  sealedValueInfo,
} from '@selvedge/api';
import { keyFingerprint } from '@selvedge/api/node';
import type { StateOwner } from '../../sync/verify-state.ts';
import { suite } from '../sealing-suite.ts';
import type { OpenedValue } from '../open-sealed-value.ts';

/** Seals values as a hub does, and wrongly where a test asks for it. */
export class SealingHub {
  readonly owner: StateOwner;
  readonly #key: KeyObject;

  constructor() {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    this.#key = privateKey;
    const fleetKey = publicKey.export({ format: 'jwk' }).x ?? '';
    this.owner = { hubId: 'hub-1', fleetKey, site: 'shop-1', siteUid: 'uid-1' };
  }

  /** @param changes fields of the envelope that are not what was sealed for. */
  async seal(
    name: SealedName,
    value: OpenedValue,
    { sealingKey, changes = {} }: { sealingKey: string; changes?: Partial<SealedEnvelope> },
  ): Promise<string> {
    const { fleetKey: _fleetKey, ...owner } = this.owner;
    const encoder = new TextEncoder();
    const key = await suite.DeserializePublicKey(new Uint8Array(Buffer.from(sealingKey, 'base64url')));
    const { encapsulatedSecret, ciphertext } = await suite.Seal(key, encoder.encode(canonicalJson(value)), {
      info: encoder.encode(sealedValueInfo),
      aad: encoder.encode(sealedValueContext({ ...owner, ...name })),
    });
    const envelope: SealedEnvelope = {
      ...owner,
      ...name,
      key: keyFingerprint(sealingKey),
      encapsulated: Buffer.from(encapsulatedSecret).toString('base64url'),
      ciphertext: Buffer.from(ciphertext).toString('base64url'),
      ...changes,
    };
    return this.#sign(canonicalJson(envelope));
  }

  #sign(payload: string): string {
    const parts = [JSON.stringify({ alg: 'EdDSA' }), payload].map((part) =>
      Buffer.from(part).toString('base64url'),
    );
    const text = parts.join('.');
    return `${text}.${sign(null, Buffer.from(text), this.#key).toString('base64url')}`;
  }
}
