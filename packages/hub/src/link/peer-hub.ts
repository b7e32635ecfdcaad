import type { IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { Duplex, Readable } from 'node:stream';
import type { checkServerIdentity } from 'node:tls';
import { type Clock, StatusError } from '@selvedge/api';
import type { FleetKey } from '../identity/fleet-key.ts';
import type { FarAnswer, FarCall, FarSide, FarUpgrade } from './far-side.ts';
import { signPeerRequest } from './peer-token.ts';

/** `…/SITE` and then the path at the site. */
export const peerPrefix = '/link/v1/sites/';
/** On the answer of a hub that has no link to the site, or has lost it before the site answered. */
export const noLinkHeader = 'selvedge-no-link';

export interface PeerHubOptions {
  /** Base address of the other hub. */
  readonly url: string;
  readonly fleetKey: FleetKey;
  /** PEM of those whose certificates are those of hubs of this fleet, and of nobody else. */
  readonly authorities: () => readonly string[];
  readonly clock: Clock;
}

/** Nothing answers there, or it has no link: nothing was passed on. */
export class PeerLostError extends Error {}

const connectMs = 3_000;

/** The way to a site whose link is at another hub. */
export class PeerHub implements FarSide {
  readonly #o: PeerHubOptions;

  constructor(options: PeerHubOptions) {
    this.#o = options;
  }

  async answer(call: FarCall, body: Readable | undefined): Promise<FarAnswer> {
    const answer = await this.#ask(call, '', body);
    if ('socket' in answer) throw lost(call.site);
    return answer;
  }

  upgrade(call: FarCall, protocol: string): Promise<FarUpgrade | FarAnswer> {
    return this.#ask(call, protocol, undefined);
  }

  async #ask(call: FarCall, upgrade: string, body: Readable | undefined): Promise<FarUpgrade | FarAnswer> {
    const { site, method, path, user, headers, auditId, signal } = call;
    const { url, fleetKey, authorities, clock } = this.#o;
    const token = await signPeerRequest({ site, method, path, user, upgrade }, fleetKey, clock);
    const { hostname, port } = new URL(url);
    const req = httpsRequest({
      host: hostname.replace(/^\[|\]$/g, ''),
      port: port === '' ? 443 : Number(port),
      method,
      path: `${peerPrefix}${encodeURIComponent(site)}${path}`,
      headers: {
        ...headers,
        authorization: `Bearer ${token}`,
        'audit-id': auditId,
        // Never a body without its length: what follows would be a request of its own.
        ...(body && headers['content-length'] === undefined ? { 'transfer-encoding': 'chunked' } : {}),
        ...(upgrade === '' ? {} : { connection: 'Upgrade', upgrade }),
      },
      agent: false,
      ca: [...authorities()],
      allowPartialTrustChain: true,
      // Hubs are reached at addresses that no certificate names; who has one of these authorities' certificates is a hub of ours.
      checkServerIdentity: (_host: string, certificate: Parameters<typeof checkServerIdentity>[1]) =>
        certificate.raw === undefined ? new Error('the other hub shows no certificate') : undefined,
    });
    const answered = new AbortController();
    const onGone = () => req.destroy();
    signal.addEventListener('abort', onGone, { once: true });
    if (signal.aborted) onGone();
    req.once('close', () => signal.removeEventListener('abort', onGone));
    try {
      const { promise, resolve, reject } = Promise.withResolvers<FarUpgrade | FarAnswer>();
      let isConnected = false;
      req.once('socket', (socket) =>
        socket.once('secureConnect', () => {
          isConnected = true;
          // Not before somebody is there: a body that was not touched can go elsewhere.
          if (body) body.pipe(req);
          else req.end();
        }),
      );
      void clock.sleep(connectMs, answered.signal).then(() => {
        if (!isConnected && !answered.signal.aborted) req.destroy(new Error('no connection'));
      });
      req.once('response', (res) => resolve(toAnswer(res)));
      req.once('upgrade', (res, socket, head) => resolve(toUpgrade(res, socket, head)));
      req.on('error', (cause) => {
        body?.unpipe(req);
        reject(isConnected ? lost(site, cause) : new PeerLostError('no hub answers there', { cause }));
      });
      req.once('close', () => reject(lost(site)));
      // A request without a body is sent once the connection is there; this makes the connection.
      req.flushHeaders();
      const answer = await promise;
      if (answer.headers[noLinkHeader] === undefined) return answer;
      req.destroy();
      throw new PeerLostError('it has no link to the site');
    } finally {
      answered.abort('answered');
    }
  }
}

function toAnswer(res: IncomingMessage): FarAnswer {
  return { status: res.statusCode ?? 502, headers: res.headers, body: res };
}

function toUpgrade(res: IncomingMessage, socket: Duplex, head: Buffer): FarUpgrade {
  if (head.length > 0) socket.unshift(head);
  return { headers: res.headers, socket };
}

function lost(site: string, cause?: unknown): StatusError {
  return new StatusError(
    'ServiceUnavailable',
    `the hub that has the link to site "${site}" was lost before the site answered: ask again`,
    { cause },
  );
}
