import type { IncomingHttpHeaders } from 'node:http';
import { StatusError } from '@selvedge/api';
import type { LinkUpgrade } from '../link-door.ts';
import { runCommandSession } from './command-session.ts';
import { spdyChannels, spdyCommandProtocols } from './command-spdy.ts';
import { commandProtocols, webSocketChannels } from './command-web-socket.ts';
import { connectedPair } from './connected-pair.ts';
import { portForwardProtocol, runPortForward, tunnelledPortForwardProtocol } from './port-forward.ts';
import type { RemoteCommand, StreamBackend, StreamRequest } from './stream-backend.ts';
import { acceptWebSocket } from './web-socket.ts';

/**
 * Answers an upgrade as the kubelet and the API server of Kubernetes do, and serves it until either side ends. Throws StatusError
 * while the request can still be refused; what goes wrong later is told in the protocol.
 */
export async function openStreams(request: StreamRequest, backend: StreamBackend): Promise<LinkUpgrade> {
  if (request.protocol !== 'websocket' && request.protocol !== 'spdy/3.1') {
    throw new StatusError(
      'BadRequest',
      `upgrade to ${request.protocol}: only websocket and SPDY/3.1 are known`,
    );
  }
  const upgrade =
    request.verb === 'portforward'
      ? await openPortForward(request, backend)
      : await openCommand(request, { verb: request.verb, backend });
  const { socket } = upgrade;
  const end = () => socket.destroy();
  if (request.signal.aborted) end();
  request.signal.addEventListener('abort', end, { once: true });
  socket.once('close', () => request.signal.removeEventListener('abort', end));
  socket.on('error', () => undefined);
  return upgrade;
}

async function openCommand(
  { query, headers, protocol }: StreamRequest,
  target: { verb: 'exec' | 'attach'; backend: StreamBackend },
): Promise<LinkUpgrade> {
  const command = readCommand(query, target.verb);
  if (protocol === 'websocket') {
    const chosen = choose(offered(headers, 'sec-websocket-protocol'), commandProtocols);
    const accepted = await acceptWebSocket(headers, chosen);
    void runCommandSession(command, webSocketChannels(accepted, chosen, command), target);
    return { headers: accepted.headers, socket: accepted.socket };
  }
  const chosen = choose(offered(headers, 'x-stream-protocol-version'), spdyCommandProtocols);
  const [socket, far] = connectedPair();
  void spdyChannels(far, chosen, command).then(async (channels) => {
    if (channels) await runCommandSession(command, channels, target);
  });
  return { headers: spdyHeaders(chosen), socket };
}

async function openPortForward(
  { headers, protocol }: StreamRequest,
  backend: StreamBackend,
): Promise<LinkUpgrade> {
  if (protocol === 'websocket') {
    const chosen = choose(offered(headers, 'sec-websocket-protocol'), [tunnelledPortForwardProtocol]);
    const { webSocket, headers: answer, socket, gone } = await acceptWebSocket(headers, chosen);
    const { createWebSocketStream } = await import('ws');
    const bytes = createWebSocketStream(webSocket);
    gone.addEventListener('abort', () => bytes.destroy(), { once: true });
    void runPortForward(bytes, backend);
    return { headers: answer, socket };
  }
  const chosen = choose(offered(headers, 'x-stream-protocol-version'), [portForwardProtocol]);
  const [socket, far] = connectedPair();
  void runPortForward(far, backend);
  return { headers: spdyHeaders(chosen), socket };
}

const spdyHeaders = (protocol: string): IncomingHttpHeaders => ({
  upgrade: 'SPDY/3.1',
  connection: 'Upgrade',
  'x-stream-protocol-version': protocol,
});

function offered(headers: IncomingHttpHeaders, name: string): string[] {
  return [headers[name] ?? []]
    .flat()
    .flatMap((value) => value.split(','))
    .map((value) => value.trim())
    .filter((value) => value !== '');
}

/** The first of ours that the client offers, too. */
function choose(offers: readonly string[], ours: readonly string[]): string {
  const chosen = ours.find((one) => offers.includes(one));
  if (chosen !== undefined) return chosen;
  throw new StatusError(
    'Forbidden',
    `none of the protocols that the client offers (${offers.join(', ') || 'none'}) is known here: ${ours.join(', ')}`,
  );
}

function readCommand(query: URLSearchParams, verb: 'exec' | 'attach'): RemoteCommand {
  const has = (name: string) => isTrue(query.get(name));
  const command = query.getAll('command');
  const remote: RemoteCommand = {
    command,
    hasStdin: has('stdin'),
    hasStdout: has('stdout'),
    hasStderr: has('stderr'),
    isTerminal: has('tty'),
  };
  if (verb === 'exec' && command.length === 0) {
    throw new StatusError('BadRequest', 'you must specify at least one command for the container');
  }
  if (!remote.hasStdin && !remote.hasStdout && !remote.hasStderr) {
    throw new StatusError('BadRequest', 'you must specify at least one of stdin, stdout, stderr');
  }
  return remote;
}

const isTrue = (value: string | null) => value === 'true' || value === '1';
