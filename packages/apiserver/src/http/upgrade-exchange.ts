import { type IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { ApiRequest, ApiResponse, UpgradeOffer } from './exchange.ts';

/**
 * A request that wants to upgrade, with a response of its own: Node hands out only the socket. Whatever is answered but a 101 ends
 * the connection, for Node has stopped reading requests on it: the response's `finish` tells.
 */
export function upgradeExchange(
  req: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): { upgrading: ApiRequest; res: ApiResponse } {
  const res = new ServerResponse(req);
  res.shouldKeepAlive = false;
  res.assignSocket(socket as Parameters<ServerResponse['assignSocket']>[0]);
  const offer: UpgradeOffer = {
    protocol: req.headers.upgrade ?? '',
    head,
    socket,
    detach: () => res.detachSocket(socket as Parameters<ServerResponse['assignSocket']>[0]),
  };
  return { upgrading: Object.assign(req, { upgradeTo: offer }), res };
}
