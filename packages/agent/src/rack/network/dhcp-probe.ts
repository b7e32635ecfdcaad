import { randomInt } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import type { Clock } from '@selvedge/api';
import { probeMacAddress } from './dnsmasq-config.ts';

export interface DhcpServerSeen {
  /** Server identifier of its offer. */
  readonly address: string;
}

/**
 * Asks a network for DHCP servers: a DISCOVER that nobody goes on with, answered by broadcast. Racks of ours do not answer it, so whoever does is another's.
 * Needs the right to port 68, and that no program holds it for itself alone.
 */
export async function probeDhcpServers(
  /** Of the rack on that network: a broadcast leaves by the interface that has it. */
  rackAddress: string,
  clock: Clock,
  signal: AbortSignal,
): Promise<readonly DhcpServerSeen[]> {
  const transaction = randomInt(2 ** 32);
  const found = new Map<string, DhcpServerSeen>();
  const receiver = await bind('255.255.255.255');
  try {
    receiver.on('message', (packet) => {
      const address = parseOffer(packet, transaction);
      if (address !== undefined) found.set(address, { address });
    });
    const sender = await bind(rackAddress);
    try {
      sender.setBroadcast(true);
      for (let round = 0; round < rounds && !signal.aborted; round += 1) {
        await send(sender, discoverPacket(transaction));
        await clock.sleep(answerMs, signal);
      }
    } finally {
      sender.close();
    }
  } finally {
    receiver.close();
  }
  return [...found.values()];
}

/** Servers look whether an address is free before they offer it. */
const answerMs = 3500;
const rounds = 2;

const magicCookie = 0x63_82_53_63;
const headerBytes = 236;

export function discoverPacket(transaction: number): Buffer {
  const packet = Buffer.alloc(300);
  packet.set([1, 1, 6, 0]);
  packet.writeUInt32BE(transaction, 4);
  // Answer by broadcast: nobody has our address.
  packet.writeUInt16BE(0x80_00, 10);
  packet.set(Buffer.from(probeMacAddress.replaceAll(':', ''), 'hex'), 28);
  packet.writeUInt32BE(magicCookie, headerBytes);
  packet.set([53, 1, 1, 55, 3, 1, 3, 54, 255], headerBytes + 4);
  return packet;
}

/** @returns the server's identifier when the packet is an offer for our question. */
export function parseOffer(packet: Buffer, transaction: number): string | undefined {
  if (packet.length < headerBytes + 4 || packet[0] !== 2) return undefined;
  if (packet.readUInt32BE(4) !== transaction || packet.readUInt32BE(headerBytes) !== magicCookie)
    return undefined;
  let type: number | undefined;
  let server: string | undefined;
  for (let at = headerBytes + 4; at + 1 < packet.length && packet[at] !== 255; ) {
    const code = packet[at];
    if (code === 0) {
      at += 1;
      continue;
    }
    const value = packet.subarray(at + 2, at + 2 + (packet[at + 1] ?? 0));
    if (code === 53 && value.length === 1) type = value[0];
    if (code === 54 && value.length === 4) server = value.join('.');
    at += 2 + (packet[at + 1] ?? 0);
  }
  return type === 2 ? server : undefined;
}

function bind(address: string): Promise<Socket> {
  const socket = createSocket({ type: 'udp4', reuseAddr: true });
  return new Promise((resolve, reject) => {
    socket.once('error', (error) => {
      socket.close();
      reject(error);
    });
    socket.bind({ port: 68, address, exclusive: true }, () => {
      socket.removeAllListeners('error');
      // A network that goes away while we listen is found out by others.
      socket.on('error', () => {});
      resolve(socket);
    });
  });
}

function send(socket: Socket, packet: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.send(packet, 67, '255.255.255.255', (error) => (error === null ? resolve() : reject(error)));
  });
}
