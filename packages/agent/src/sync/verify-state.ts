import { createPublicKey, type KeyObject } from 'node:crypto';
import type { DesiredState, SignedStateHeader } from '@selvedge/api';
import { stateDigest } from '@selvedge/api/node';
import { compactVerify } from 'jose';

/** Whose states an agent obeys. */
export interface StateOwner {
  readonly hubId: string;
  /** Raw Ed25519, base64url. */
  readonly fleetKey: string;
  readonly site: string;
  readonly siteUid: string;
}

export type RefusalReason = 'OlderEpoch' | 'BadSignature' | 'DigestMismatch' | 'WrongSite';

/** A desired state that this agent will not obey; the message is for people. */
export class StateRefused extends Error {
  override readonly name = 'StateRefused';
  readonly reason: RefusalReason;
  readonly epoch: number;

  constructor(reason: RefusalReason, message: string, epoch: number) {
    super(message);
    this.reason = reason;
    this.epoch = epoch;
  }
}

/** Throws `StateRefused` unless the fleet key signed it for this site. */
export async function verifySignedState(signed: string, owner: StateOwner): Promise<SignedStateHeader> {
  let header: SignedStateHeader;
  try {
    const { payload } = await compactVerify(signed, fleetKeyObject(owner.fleetKey), {
      algorithms: ['EdDSA'],
    });
    header = JSON.parse(new TextDecoder().decode(payload)) as SignedStateHeader;
  } catch {
    throw new StateRefused(
      'BadSignature',
      'the desired state is not signed by the fleet key that this agent was enrolled with',
      claimedEpoch(signed),
    );
  }
  if (!Number.isSafeInteger(header.epoch) || typeof header.stateDigest !== 'string') {
    throw new StateRefused('BadSignature', 'the signed header of the desired state is not complete', 0);
  }
  for (const field of ['hubId', 'site', 'siteUid'] as const) {
    if (header[field] !== owner[field]) {
      throw new StateRefused(
        'WrongSite',
        `the desired state is for ${field} "${header[field]}", this agent is enrolled as "${owner[field]}"`,
        header.epoch,
      );
    }
  }
  return header;
}

/** Of a signature that does not hold: only to tell the hub which of its states was refused. */
function claimedEpoch(signed: string): number {
  try {
    const payload = Buffer.from(signed.split('.')[1] ?? '', 'base64url').toString('utf8');
    const { epoch } = JSON.parse(payload) as { epoch?: unknown };
    return Number.isSafeInteger(epoch) ? (epoch as number) : 0;
  } catch {
    return 0;
  }
}

/** Throws `StateRefused` unless the state is, to the last byte, the one that was signed. */
export function checkStateDigest(state: DesiredState, header: SignedStateHeader): void {
  if (stateDigest(state) === header.stateDigest && state.epoch === header.epoch) return;
  throw new StateRefused(
    'DigestMismatch',
    `the desired state of epoch ${header.epoch} is not what its signature covers`,
    header.epoch,
  );
}

/** The public key of raw base64url bytes. Throws when they are none. */
export function fleetKeyObject(fleetKey: string): KeyObject {
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: fleetKey }, format: 'jwk' });
}
