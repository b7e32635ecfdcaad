import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type Clock, hubTimeHeader, linkPath, linkProtocol, type Logger, StatusError } from '@selvedge/api';
import { MessageStream } from '@selvedge/api/node';
import type { UpgradeOffer } from '@selvedge/apiserver';
import type { Place } from '../gateway/admission-control.ts';
import type { AgentAuthentication, AuthenticatedAgent } from '../gateway/agent-authentication.ts';
import { checkBodyHash, unauthorized } from '../gateway/agent-jwt.ts';
import type { HttpExchange } from '../gateway/http-exchange.ts';
import type { ReplayGuard } from '../gateway/replay-guard.ts';
import type { WebSocket } from 'ws';
import { passedHeaders } from './link-headers.ts';
import { noLinkHeader, peerPrefix } from './peer-hub.ts';
import { verifyPeerToken } from './peer-token.ts';
import { relay } from './relay.ts';
import { SiteLink } from './site-link.ts';
import type { SiteLinks } from './site-links.ts';

export interface LinkEndpointOptions {
  readonly links: SiteLinks;
  readonly authentication: AgentAuthentication;
  readonly replays: ReplayGuard;
  /** Raw Ed25519 fleet key, base64url. */
  readonly fleetPublicKey: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random: () => number;
  /** Fires when the hub is about to stop. */
  readonly closing: AbortSignal;
  readonly meter: LinkMeter;
}

export interface LinkMeter {
  opened(transport: Pick<Socket, 'bytesRead' | 'bytesWritten'>, closed: AbortSignal): void;
  session(kind: 'request' | 'upgrade'): void;
}

interface AcceptedLink {
  readonly socket: WebSocket;
  /** The bytes of its messages. */
  readonly transport: Duplex;
  /** What is below it. */
  readonly connection: Socket;
}

/** Agents send no larger messages. */
const maxMessageBytes = 4 * 1024 * 1024;

/** `GET /link/v1`, where sites open their links, and `/link/v1/sites/…`, where other hubs of the fleet ask for what is on one. */
export class LinkEndpoint {
  readonly #o: LinkEndpointOptions;
  /** The key of the agent that opened each link. */
  readonly #agents = new Map<SiteLink, AuthenticatedAgent>();

  constructor(options: LinkEndpointOptions) {
    this.#o = options;
  }

  async handle(exchange: HttpExchange, place: Place): Promise<void> {
    if (exchange.path === linkPath) await this.#open(exchange, place);
    else if (exchange.path.startsWith(peerPrefix)) await this.#serveHub(exchange, place);
    else throw new StatusError('NotFound', `the gateway has no ${exchange.path.slice(0, 200)}`);
  }

  /** The Site has changed or is gone: whoever may no longer be linked is cut off. */
  async recheck(site: string): Promise<void> {
    for (const [link, agent] of this.#agents) {
      if (link.site !== site) continue;
      try {
        checkEnabled(await this.#o.authentication.confirm(agent));
      } catch (error) {
        this.#o.logger.info('link ended', { site, reason: (error as Error).message });
        link.destroy();
      }
    }
  }

  async #open(exchange: HttpExchange, place: Place): Promise<void> {
    const { authentication, replays } = this.#o;
    const agent = await authentication.authenticate(exchange.header('authorization'));
    const { claims, key } = agent;
    checkBodyHash(claims, Buffer.alloc(0));
    if (
      claims.jti === undefined ||
      !replays.isFirstUse(`${key.fingerprint} ${claims.jti}`, claims.expiresAt)
    ) {
      throw unauthorized('the agent token was used before, or has no jti: each link needs a new one');
    }
    checkEnabled(agent);
    const { upgradeTo: offer } = exchange.request;
    if (exchange.method !== 'GET' || offer?.protocol.toLowerCase() !== 'websocket') {
      throw new StatusError('BadRequest', `${linkPath} is opened as a WebSocket, over HTTP/1.1`);
    }
    const protocols = (exchange.header('sec-websocket-protocol') ?? '').split(',').map((text) => text.trim());
    if (!protocols.includes(linkProtocol)) {
      throw new StatusError(
        'BadRequest',
        `this hub speaks ${linkProtocol} on a link: the agent needs an update`,
      );
    }
    place.giveBack();
    const accepted = await this.#accept(exchange.request as IncomingMessage, offer);
    // The request is answered; how long its other end takes to begin is no matter of the gateway's.
    void this.#begin(agent, accepted);
  }

  /** Never rejects. */
  async #begin(agent: AuthenticatedAgent, { socket, transport, connection }: AcceptedLink): Promise<void> {
    const { links, clock, logger, random, meter } = this.#o;
    const { site } = agent.key;
    try {
      const onSession = (kind: 'request' | 'upgrade') => meter.session(kind);
      const link = await SiteLink.open({ site, transport, clock, logger, random, onSession });
      this.#agents.set(link, agent);
      link.closed.addEventListener('abort', () => this.#agents.delete(link), { once: true });
      meter.opened(connection, link.closed);
      logger.info('link opened', { site });
      link.closed.addEventListener('abort', () => logger.info('link closed', { site }), { once: true });
      await links.add(link);
      // The Site may have changed since the agent was let in.
      await this.recheck(site);
    } catch (error) {
      socket.terminate();
      logger.info('link not opened', { site, reason: (error as Error).message });
    }
  }

  /** From here on nothing can be answered: the library writes the 101 itself. */
  async #accept(req: IncomingMessage, offer: UpgradeOffer): Promise<AcceptedLink> {
    const { WebSocketServer } = await import('ws');
    const server = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      // Those of HTTP/2 tell whether the agent lives; answers to a flood of these would pile up.
      autoPong: false,
      maxPayload: maxMessageBytes,
      handleProtocols: () => linkProtocol,
    });
    server.on('headers', (headers) => {
      headers.push(`${hubTimeHeader}: ${this.#o.clock.now().toISOString()}`);
    });
    const { promise, resolve, reject } = Promise.withResolvers<AcceptedLink>();
    offer.detach();
    offer.socket.once('close', () => reject(new Error('the agent has gone')));
    const connection = offer.socket as Socket;
    server.handleUpgrade(req, connection, offer.head, (socket) => {
      // Within the event: the agent may speak at once.
      resolve({ socket, transport: new MessageStream(socket), connection });
    });
    return await promise;
  }

  /** Only what is on a link of this very hub: a request never goes on to a third one. */
  async #serveHub(exchange: HttpExchange, place: Place): Promise<void> {
    const { links, replays, clock, fleetPublicKey, closing } = this.#o;
    const { request: req, response: res, method } = exchange;
    const [, encoded = '', path = ''] = /^([^/?]*)(.*)$/.exec((req.url ?? '').slice(peerPrefix.length)) ?? [];
    const site = decodeURIComponent(encoded);
    const user = verifyPeerToken(exchange.header('authorization'), {
      asked: { site, method, path, upgrade: req.upgradeTo?.protocol.toLowerCase() ?? '' },
      publicKey: fleetPublicKey,
      clock,
      isFirstUse: (id, expiresAt) => replays.isFirstUse(id, expiresAt),
    });
    place.giveBack();
    const link = links.find(site);
    if (link === undefined) {
      const error = new StatusError('ServiceUnavailable', `this hub has no link to site "${site}"`);
      exchange.answer({
        code: error.code,
        headers: { [noLinkHeader]: 'true' },
        body: error.toBody(),
        isLast: true,
      });
      return;
    }
    const auditId = exchange.header('audit-id') ?? '';
    const call = { site, method, path, headers: passedHeaders(req.headers), user, auditId };
    await relay({ req, res, base: '', call, draining: closing }, link);
  }
}

function checkEnabled({ site }: AuthenticatedAgent): void {
  if (site.spec?.link !== 'Disabled') return;
  throw new StatusError(
    'Forbidden',
    `the link to site "${site.metadata.name}" is disabled (spec.link of the Site)`,
  );
}
