import { X509Certificate } from 'node:crypto';
import {
  type AgentInfo,
  type EnrollRequest,
  type EnrollResponse,
  type HubIdentity,
  isStatusError,
  type Logger,
  StatusError,
  type StatusReason,
} from '@selvedge/api';
import { ContactError } from '../hub-connection/contact-error.ts';
import { HubApi, isClockRefusal } from '../hub-connection/hub-api.ts';
import type { HubClock } from '../hub-connection/hub-clock.ts';
import { HubConnection } from '../hub-connection/hub-connection.ts';
import { fetchHubIdentity, WrongHub } from '../hub-connection/hub-identity.ts';
import type { ProxySettings } from '../hub-connection/proxy-settings.ts';
import type { AgentKey } from '../identity/agent-key.ts';
import { BackOff } from '../sync/back-off.ts';
import { EnrolmentRefused } from './enrolment-refused.ts';
import type { EnrolmentToken } from './enrolment-token.ts';

export interface EnrolOptions {
  readonly token: EnrolmentToken;
  readonly key: AgentKey;
  readonly agentInfo: AgentInfo;
  readonly proxies: ProxySettings;
  readonly extraCas?: readonly string[];
  readonly clock: HubClock;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  /** Told when the agent waits for a person or for the network. */
  readonly onWaiting: (message: string) => void | Promise<void>;
}

export interface EnrolResult {
  readonly identity: HubIdentity;
  readonly site: string;
  readonly siteUid: string;
}

/**
 * Joins the site that the token is for. Tries for as long as it takes: network trouble and a pending approval are waited
 * out. Throws `EnrolmentRefused` when the hub said no, or when another hub answers. Idempotent for one key.
 */
export async function enrol(options: EnrolOptions): Promise<EnrolResult> {
  const backOff = new BackOff();
  for (;;) {
    let waitMs: number;
    try {
      const result = await enrolOnce(options);
      if ('identity' in result) return result;
      backOff.reset();
      waitMs = result.retryAfterSeconds * 1000;
      options.logger.info('enrolment waits for approval', { message: result.message });
      await options.onWaiting(result.message);
    } catch (error) {
      options.signal.throwIfAborted();
      if (isFinal(error)) throw new EnrolmentRefused(finalMessage(error as Error), { cause: error });
      if (!(error instanceof ContactError || error instanceof StatusError)) throw error;
      const askedSeconds = error instanceof StatusError ? error.details.retryAfterSeconds : undefined;
      waitMs = Math.max(backOff.nextMs(), (askedSeconds ?? 0) * 1000);
      options.logger.warn('enrolment could not be done yet; trying again', {
        error: error.message,
        retryMs: Math.round(waitMs),
      });
      await options.onWaiting(error.message);
    }
    await options.clock.sleep(waitMs * (1 + Math.random() / 10), options.signal);
    options.signal.throwIfAborted();
  }
}

async function enrolOnce(
  options: EnrolOptions,
): Promise<EnrolResult | { retryAfterSeconds: number; message: string }> {
  const { token, key, clock, signal } = options;
  const identity = await fetchHubIdentity({
    ...options,
    hubs: token.hubs,
    fleetKeyFingerprint: token.fleetKeyFingerprint,
  });
  const hubCa = new X509Certificate(identity.caCertificate);
  const connection = new HubConnection({ ...options, hubs: token.hubs, hubCa });
  try {
    const api = new HubApi({ connection, clock, speaker: { key, hubId: identity.hubId, site: '' } });
    const request: EnrollRequest = {
      token: token.name,
      secret: token.secret,
      publicKey: key.publicKey,
      agent: options.agentInfo,
    };
    const response = await api.post<EnrollResponse>('/gateway/v1/enroll', request, {
      answerTimeoutMs: 30_000,
      maxBytes: 65_536,
      signal,
    });
    if (response.status === 'Pending') return response;
    if (response.status !== 'Enrolled' || response.hubId !== identity.hubId || !response.site) {
      throw new ContactError('answer', 'the answer to the enrolment is not complete');
    }
    return { identity, site: response.site, siteUid: response.siteUid };
  } finally {
    connection.close();
  }
}

const finalReasons: readonly StatusReason[] = [
  'BadRequest',
  'Unauthorized',
  'Forbidden',
  'NotFound',
  'AlreadyExists',
  'Conflict',
  'Gone',
  'Expired',
  'Invalid',
];

function isFinal(error: unknown): boolean {
  if (error instanceof WrongHub) return true;
  if (isClockRefusal(error)) return false;
  return finalReasons.some((reason) => isStatusError(error, reason));
}

function finalMessage(error: Error): string {
  return error instanceof WrongHub ? error.message : `the hub refused the enrolment: ${error.message}`;
}
