import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
} from 'node:crypto';
import { join } from 'node:path';
import { keyFingerprint, writeFileAtomically } from '@selvedge/api/node';
import { findFile } from '../state/atomic-file.ts';

/** The agent's Ed25519 key. Who holds it is the agent: it is made here and never leaves the machine. */
export interface AgentKey {
  readonly privateKey: KeyObject;
  /** Raw 32 bytes, base64url. */
  readonly publicKey: string;
  readonly fingerprint: string;
}

/** Name of the key file of the first enrolment. */
export const firstKeyFile = 'agent.key';

/** `agent.key`, `agent-2.key`, …: a refused key stays refused, so who enrols again takes the next file. */
export function nextKeyFile(keyFile: string): string {
  const number = Number(/^agent-(\d+)\.key$/.exec(keyFile)?.[1] ?? 1);
  return `agent-${number + 1}.key`;
}

/** Makes the key when there is none. It is on disk before it is used, so an enrolment that was cut off goes on with the same key. */
export async function loadOrMakeAgentKey(keysDir: string, keyFile: string): Promise<AgentKey> {
  const path = join(keysDir, keyFile);
  const stored = await findFile(path);
  if (stored !== undefined) return keyFromPem(stored, path);
  const pem = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' });
  await writeFileAtomically(path, pem);
  return keyFromPem(Buffer.from(pem), path);
}

function keyFromPem(pem: Buffer, path: string): AgentKey {
  let privateKey: KeyObject;
  try {
    privateKey = createPrivateKey(pem);
  } catch (cause) {
    throw new Error(`${path} is not a private key; restore it from a backup, or remove it and enrol again`, {
      cause,
    });
  }
  const { x } = createPublicKey(privateKey).export({ format: 'jwk' });
  if (privateKey.asymmetricKeyType !== 'ed25519' || x === undefined) {
    throw new Error(`${path} is not an Ed25519 key; restore it from a backup, or remove it and enrol again`);
  }
  return { privateKey, publicKey: x, fingerprint: keyFingerprint(x) };
}

/** `bh` of the request token. */
export function bodyHash(body: Uint8Array): string {
  return createHash('sha256').update(body).digest('base64url');
}
