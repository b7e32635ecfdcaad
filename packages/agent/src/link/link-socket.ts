import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { hubTimeHeader, isStatusError, linkPath, linkProtocol } from '@selvedge/api';
import { MessageStream } from '@selvedge/api/node';
import { ContactError } from '../hub-connection/contact-error.ts';
import { isClockRefusal, refusalOf, type Speaker } from '../hub-connection/hub-api.ts';
import type { HubClock } from '../hub-connection/hub-clock.ts';
import type { HubConnection } from '../hub-connection/hub-connection.ts';
import { signRequestToken } from '../identity/request-token.ts';

export interface LinkSocketOptions {
  readonly connection: HubConnection;
  readonly speaker: Speaker;
  readonly clock: HubClock;
  readonly signal: AbortSignal;
}

/**
 * Opens the WebSocket of the service link: the same addresses, proof of the server, proxies, clock and signature as with all other
 * requests to the hub. Throws `StatusError` when the hub refused, `ContactError` when something on the way did.
 */
export async function openLinkSocket(options: LinkSocketOptions): Promise<Duplex> {
  try {
    return await openOnce(options);
  } catch (error) {
    // The refusal told the hub's time.
    if (isClockRefusal(error)) return await openOnce(options);
    throw error;
  }
}

async function openOnce({ connection, speaker, clock, signal }: LinkSocketOptions): Promise<Duplex> {
  const { WebSocket } = await import('ws');
  const { socket, hub } = await connection.openSocket(signal);
  try {
    const { key, hubId, site } = speaker;
    const token = await signRequestToken(key, { hubId, site, body: new Uint8Array(), now: clock.now() });
    const path = hub.pathname.replace(/\/$/, '') + linkPath;
    const webSocket = new WebSocket(`wss://${hub.host}${path}`, linkProtocol, {
      createConnection: () => socket,
      headers: { authorization: `Bearer ${token}` },
      perMessageDeflate: false,
      // Zeros are left out on both sides. Masks keep scripts in browsers from speaking to careless proxies; here all bytes are HTTP/2 of
      // ours within TLS, and to mask each of them takes more time than all else that the agent does with it.
      generateMask: (mask) => void mask.fill(0),
      // Those of HTTP/2 tell whether the hub lives; answers to a flood of these would pile up.
      autoPong: false,
      handshakeTimeout: handshakeMs,
      maxPayload: longestMessage,
      followRedirects: false,
    });
    return await new Promise<Duplex>((resolve, reject) => {
      const onAbort = () => webSocket.terminate();
      signal.addEventListener('abort', onAbort, { once: true });
      const settle = (act: () => void) => {
        signal.removeEventListener('abort', onAbort);
        act();
      };
      webSocket.once('upgrade', (answer) => clock.observe(oneHeader(answer.headers[hubTimeHeader])));
      // Within the event: the hub may speak at once.
      webSocket.once('open', () => settle(() => resolve(new MessageStream(webSocket))));
      webSocket.on('error', (error) => settle(() => reject(blocked(hub, error.message))));
      webSocket.once('unexpected-response', (request, answer) => {
        void refusal(hub, answer, clock).then((error) => {
          settle(() => reject(error));
          request.destroy();
        });
      });
    });
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

const handshakeMs = 20_000;
const longestMessage = 4 * 1024 * 1024;
const longestRefusal = 64 * 1024;

/** The hub's own words, or that it was not the hub who answered. */
async function refusal(hub: URL, answer: IncomingMessage, clock: HubClock): Promise<Error> {
  clock.observe(oneHeader(answer.headers[hubTimeHeader]));
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length > longestRefusal) break;
      chunks.push(chunk);
    }
  } catch {
    // What came is enough to say that it was no upgrade.
  }
  const status = answer.statusCode ?? 0;
  const error = refusalOf({ status, headers: answer.headers, body: Buffer.concat(chunks) });
  return isStatusError(error) ? error : blocked(hub, `answered ${status}`);
}

function blocked(hub: URL, what: string): ContactError {
  return new ContactError(
    'answer',
    `no WebSocket to ${hub.origin}${linkPath} (${what}); a proxy or load balancer between this site and the hub has to let WebSockets through`,
  );
}

function oneHeader(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}
