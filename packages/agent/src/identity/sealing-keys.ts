import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { keyFingerprint, writeFileAtomically } from '@selvedge/api/node';
import { findFile } from '../state/atomic-file.ts';

/** An X25519 key that values are sealed to. */
export interface SealingKey {
  /** Raw, base64url: `AgentInfo.sealingKey`. */
  readonly publicKey: string;
  /** `SealedEnvelope.key`. */
  readonly fingerprint: string;
  /** Raw 32 bytes. */
  readonly privateKey: Uint8Array<ArrayBuffer>;
}

const keyFilePattern = /^sealing(-\d+)?\.key$/;

/**
 * The keys that values for this site are, and were, sealed to. Each enrolment has its own beside its agent key, so that who stole one
 * identity opens nothing that is sealed for the next; those before open what is still here.
 */
export class SealingKeys {
  readonly present: SealingKey;
  readonly #all: ReadonlyMap<string, SealingKey>;

  private constructor(present: SealingKey, all: readonly SealingKey[]) {
    this.present = present;
    this.#all = new Map(all.map((key) => [key.fingerprint, key]));
  }

  /**
   * Makes the key of the enrolment when there is none. One that is damaged is replaced: values are sealed anew to the next.
   * @param agentKeyFile of the enrolment: `agent-2.key` goes with `sealing-2.key`.
   */
  static async open(keysDir: string, agentKeyFile: string): Promise<SealingKeys> {
    const file = agentKeyFile.replace(/^agent/, 'sealing');
    const all: SealingKey[] = [];
    for (const name of await readdir(keysDir)) {
      if (name === file || !keyFilePattern.test(name)) continue;
      const key = keyOf(await findFile(join(keysDir, name)));
      if (key !== undefined) all.push(key);
    }
    const present = keyOf(await findFile(join(keysDir, file))) ?? (await make(join(keysDir, file)));
    return new SealingKeys(present, [...all, present]);
  }

  find(fingerprint: string): SealingKey | undefined {
    return this.#all.get(fingerprint);
  }
}

async function make(path: string): Promise<SealingKey> {
  const { privateKey } = generateKeyPairSync('x25519');
  await writeFileAtomically(path, privateKey.export({ type: 'pkcs8', format: 'pem' }));
  return describe(privateKey);
}

function keyOf(pem: Buffer | undefined): SealingKey | undefined {
  if (pem === undefined) return undefined;
  try {
    const key = createPrivateKey(pem);
    return key.asymmetricKeyType === 'x25519' ? describe(key) : undefined;
  } catch {
    return undefined;
  }
}

function describe(key: KeyObject): SealingKey {
  const { x = '', d = '' } = key.export({ format: 'jwk' });
  return {
    publicKey: x,
    fingerprint: keyFingerprint(x),
    privateKey: new Uint8Array(Buffer.from(d, 'base64url')),
  };
}
