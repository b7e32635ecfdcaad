import {
  canonicalJson,
  type Clock,
  type ObjectClient,
  parseSealedId,
  type RegistryCredential,
  registryCredentials,
  type SealedEnvelope,
  type SealedName,
  sealedValueContext,
  sealedValueInfo,
  type SealedValue,
  type Secret,
  secrets,
  StatusError,
} from '@selvedge/api';
import { keyFingerprint } from '@selvedge/api/node';
import type { HubIdentity } from '../identity/hub-identity.ts';
import { ShortLived } from '../resources/short-lived.ts';
import { credentialValue } from './credential-value.ts';
import { credentialVersion, secretValue, secretVersion } from './sealed-versions.ts';

export interface SealedValuesOptions {
  /** As the hub itself. */
  readonly client: Pick<ObjectClient, 'find'>;
  readonly identity: Pick<HubIdentity, 'hubId' | 'fleetKey' | 'sealedVersion'>;
  readonly clock: Clock;
}

/** For whom a value is sealed. */
export interface SealedRecipient {
  readonly site: string;
  readonly siteUid: string;
  /** `AgentInfo.sealingKey`. */
  readonly sealingKey: string;
}

interface OpenValue {
  readonly version: string | undefined;
  /** Canonical JSON; throws when there is no value now. */
  readonly text: () => string;
}

/** How long a value stays in memory: when one changes, all its sites ask for it in the same moment. */
const keptMilliseconds = 1_000;
const maxKept = 200;

/** Values for sites, sealed to the key of each. Whether a site may have one is decided by who calls: only what its policy lists. */
export class SealedValues {
  readonly #o: SealedValuesOptions;
  readonly #open = new Map<string, ShortLived<OpenValue>>();

  constructor(options: SealedValuesOptions) {
    this.#o = options;
  }

  /**
   * Throws `NotFound` when the hub has no such value (any more), `ServiceUnavailable` when it is another one by now (the site is about to be
   * told) or cannot be had at this moment.
   */
  async seal(recipient: SealedRecipient, { id, version }: SealedName): Promise<SealedValue> {
    let value = await this.#find(id);
    if (value.version !== version) {
      this.#open.delete(id);
      value = await this.#find(id);
    }
    if (value.version === version) return this.#seal(recipient, { id, version }, value.text());
    const message = `${id} has changed just now: its new version comes with the next state of the site`;
    throw new StatusError('ServiceUnavailable', message, { details: { retryAfterSeconds: 2 } });
  }

  async #seal(
    { site, siteUid, sealingKey }: SealedRecipient,
    { id, version }: SealedName,
    text: string,
  ): Promise<SealedValue> {
    const { hubId, fleetKey } = this.#o.identity;
    const { suite } = await import('./sealing-suite.ts');
    const encoder = new TextEncoder();
    const key = await suite.DeserializePublicKey(new Uint8Array(Buffer.from(sealingKey, 'base64url')));
    const { encapsulatedSecret, ciphertext } = await suite.Seal(key, encoder.encode(text), {
      info: encoder.encode(sealedValueInfo),
      aad: encoder.encode(sealedValueContext({ hubId, siteUid, id, version })),
    });
    const envelope: SealedEnvelope = {
      hubId,
      site,
      siteUid,
      id,
      version,
      key: keyFingerprint(sealingKey),
      encapsulated: Buffer.from(encapsulatedSecret).toString('base64url'),
      ciphertext: Buffer.from(ciphertext).toString('base64url'),
    };
    return { signed: await fleetKey.sign(canonicalJson(envelope)) };
  }

  #find(id: string): Promise<OpenValue> {
    let kept = this.#open.get(id);
    if (kept === undefined) {
      const { clock } = this.#o;
      kept = new ShortLived({ clock, milliseconds: keptMilliseconds, load: () => this.#load(id) });
      this.#open.set(id, kept);
      const [oldest] = this.#open.keys();
      if (this.#open.size > maxKept && oldest !== undefined) this.#open.delete(oldest);
      void this.#forgetLater(id, kept);
    }
    return kept.get();
  }

  /** Values are not to lie about in memory. */
  async #forgetLater(id: string, kept: ShortLived<OpenValue>): Promise<void> {
    await this.#o.clock.sleep(keptMilliseconds, new AbortController().signal);
    if (this.#open.get(id) === kept) this.#open.delete(id);
  }

  async #load(id: string): Promise<OpenValue> {
    const { client, clock, identity } = this.#o;
    const version = identity.sealedVersion;
    const subject = parseSealedId(id);
    if (subject === undefined) throw gone(id);
    const { kind, ...name } = subject;
    if (kind === 'Secret') {
      const secret = await client.find<Secret>(secrets, name);
      if (secret === undefined) throw gone(id);
      return { version: secretVersion(secret, version), text: () => canonicalJson(secretValue(secret)) };
    }
    const credential = await client.find<RegistryCredential>(registryCredentials, name);
    if (credential === undefined) throw gone(id);
    const wanted = credential.spec.static?.secretRef.name;
    const secret =
      wanted === undefined
        ? undefined
        : await client.find<Secret>(secrets, { namespace: name.namespace, name: wanted });
    const versionOf = () => secret && secretVersion(secret, version);
    const value = await credentialValue(credential, { client, clock });
    return {
      version: credentialVersion(credential, { version, versionOf }),
      text: () => canonicalJson(value),
    };
  }
}

function gone(id: string): StatusError {
  return new StatusError('NotFound', `the hub has no ${id}`);
}
