import type { Duplex } from 'node:stream';
import type { LinkUpgrade } from '../link-door.ts';

/** Writes the 101 to the socket of a `node:http` server's `upgrade` event, and joins it with the upgraded connection. */
export function acceptUpgrade(socket: Duplex, head: Buffer, upgrade: LinkUpgrade): void {
  const lines = Object.entries(upgrade.headers).flatMap(([name, value]) =>
    [value ?? []].flat().map((one) => `${name}: ${one}\r\n`),
  );
  socket.write(`HTTP/1.1 101 Switching Protocols\r\n${lines.join('')}\r\n`);
  const { socket: upgraded } = upgrade;
  if (head.length > 0) upgraded.write(head);
  socket.on('error', () => upgraded.destroy());
  socket.on('close', () => upgraded.destroy());
  upgraded.on('error', () => socket.destroy());
  upgraded.on('close', () => {
    if (!socket.writableEnded) socket.destroy();
  });
  socket.pipe(upgraded).pipe(socket);
}
