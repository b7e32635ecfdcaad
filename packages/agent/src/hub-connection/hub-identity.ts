import { X509Certificate } from 'node:crypto';
import { canonicalJson, type HubIdentity, type Logger } from '@selvedge/api';
import { keyFingerprint } from '@selvedge/api/node';
import { compactVerify } from 'jose';
import { fleetKeyObject } from '../sync/verify-state.ts';
import { ContactError } from './contact-error.ts';
import { decodeAnswer } from './hub-api.ts';
import type { HubClock } from './hub-clock.ts';
import { type HubAnswer, HubConnection } from './hub-connection.ts';
import type { ProxySettings } from './proxy-settings.ts';

/** Somebody answers at the hub's address, who is not the hub that the token names. */
export class WrongHub extends Error {
  override readonly name = 'WrongHub';
}

/**
 * Asks who the hub is. The TLS certificate is not looked at, as the hub's CA is what is asked for: the answer is proven by the fleet
 * key, whose fingerprint is known from the token or from enrolment. Nothing secret is sent. Addresses are tried in order.
 */
export async function fetchHubIdentity(options: {
  hubs: readonly URL[];
  fleetKeyFingerprint: string;
  proxies: ProxySettings;
  extraCas?: readonly string[];
  clock: HubClock;
  logger: Logger;
  signal: AbortSignal;
}): Promise<HubIdentity> {
  let lastError: Error = new ContactError('connect', 'there is no hub address');
  for (const hub of options.hubs) {
    const connection = new HubConnection({ ...options, hubs: [hub], hubCa: undefined });
    try {
      const answer = await connection.request({
        method: 'GET',
        path: '/gateway/v1/identity',
        answerTimeoutMs: 15_000,
        maxBytes: 65_536,
        signal: options.signal,
      });
      return await verifyIdentity(decodeAnswer(answer), options.fleetKeyFingerprint, hub);
    } catch (error) {
      lastError = error as Error;
    } finally {
      connection.close();
    }
  }
  throw lastError;
}

/** Whether this answer to `GET /gateway/v1/identity` is that of the hub with this fleet key. */
export async function isIdentityOf(
  answer: HubAnswer,
  expected: { fleetKeyFingerprint: string; hub: URL },
): Promise<boolean> {
  try {
    await verifyIdentity(decodeAnswer(answer), expected.fleetKeyFingerprint, expected.hub);
    return true;
  } catch {
    return false;
  }
}

async function verifyIdentity(body: unknown, fingerprint: string, hub: URL): Promise<HubIdentity> {
  const identity = body as HubIdentity;
  const { hubId, fleetKey, caCertificate, signature } = identity ?? {};
  if ([hubId, fleetKey, caCertificate, signature].some((field) => typeof field !== 'string')) {
    throw new ContactError('answer', `${hub.origin} does not answer as a Selvedge hub`);
  }
  if (keyFingerprint(fleetKey) !== fingerprint) {
    throw new WrongHub(
      `${hub.origin} shows the fleet key ${keyFingerprint(fleetKey)}, the token names ${fingerprint}: it is another hub, or somebody is in between`,
    );
  }
  try {
    const { payload } = await compactVerify(signature, fleetKeyObject(fleetKey), { algorithms: ['EdDSA'] });
    if (new TextDecoder().decode(payload) !== canonicalJson({ hubId, fleetKey, caCertificate })) {
      throw new WrongHub('the signature covers something else');
    }
    new X509Certificate(caCertificate);
  } catch (cause) {
    throw new WrongHub(`the identity that ${hub.origin} shows is not signed by its fleet key`, { cause });
  }
  return { hubId, fleetKey, caCertificate, signature };
}
