/**
 * A DHCP client that is any kind of firmware, to be run in the network namespace of a box: `node dhcp-client.ts JSON`, where JSON is a list of `DhcpQuestion`; prints the list of
 * answers as JSON. Port 68 must be free there.
 */
import { createSocket, type Socket } from 'node:dgram';
import { systemClock } from '@selvedge/api/node';

export interface DhcpQuestion {
  readonly mac: string;
  /** Absent: a plain system that does not boot from the network. */
  readonly arch?: number;
  readonly vendor?: 'PXEClient' | 'HTTPClient';
  readonly isIpxe?: boolean;
  readonly clientId?: string;
  /** Nobody is to answer: not asked again. */
  readonly isInVain?: boolean;
  /** Goes on to take the address. */
  readonly takes?: boolean;
  /** Asks this address at port 4011 as PXE firmware does that has an address from another server: this own one. */
  readonly proxy?: { readonly server: string; readonly own: string };
}

export interface DhcpAnswer {
  readonly address: string;
  readonly nextServer: string;
  readonly file: string;
  /** By code, hexadecimal. */
  readonly options: Readonly<Record<string, string>>;
}

const socket = createSocket({ type: 'udp4', reuseAddr: true });
await new Promise<void>((resolve) => socket.bind(68, '0.0.0.0', resolve));
socket.setBroadcast(true);
const answers: (DhcpAnswer | undefined)[] = [];
for (const [i, question] of (JSON.parse(process.argv[2] ?? '[]') as DhcpQuestion[]).entries()) {
  answers.push(await converse(socket, question, 0x5000_0000 + i));
}
socket.close();
process.stdout.write(JSON.stringify(answers.map((answer) => answer ?? null)));

async function converse(
  client: Socket,
  question: DhcpQuestion,
  transaction: number,
): Promise<DhcpAnswer | undefined> {
  if (question.proxy !== undefined) {
    const { server, own } = question.proxy;
    return ask(client, { packet: packetOf(question, transaction, { type: 3, own }), to: server, port: 4011 });
  }
  const offer = await ask(client, {
    packet: packetOf(question, transaction, { type: 1 }),
    to: '255.255.255.255',
    port: 67,
    rounds: question.isInVain === true ? 1 : 4,
  });
  if (offer === undefined || question.takes !== true) return offer;
  const request = packetOf(question, transaction, {
    type: 3,
    wants: offer.address,
    server: offer.options['54'] ?? '',
  });
  return ask(client, { packet: request, to: '255.255.255.255', port: 67 });
}

/** Asked again until there is an answer: the server looks first whether an address is free. */
async function ask(
  client: Socket,
  question: { packet: Buffer; to: string; port: number; rounds?: number },
): Promise<DhcpAnswer | undefined> {
  const { packet, to, port, rounds = 4 } = question;
  let answer: DhcpAnswer | undefined;
  const onMessage = (message: Buffer) => {
    if (message[0] === 2 && message.readUInt32BE(4) === packet.readUInt32BE(4)) answer ??= parse(message);
  };
  client.on('message', onMessage);
  for (let round = 0; round < rounds && answer === undefined; round += 1) {
    client.send(packet, port, to);
    for (let waited = 0; waited < 4000 && answer === undefined; waited += 20) await systemClock.sleep(20);
  }
  client.off('message', onMessage);
  return answer;
}

interface Message {
  readonly type: 1 | 3;
  readonly own?: string;
  readonly wants?: string;
  /** Hexadecimal. */
  readonly server?: string;
}

function packetOf(question: DhcpQuestion, transaction: number, message: Message): Buffer {
  const { mac, arch, vendor, isIpxe, clientId } = question;
  const header = Buffer.alloc(240);
  header.set([1, 1, 6, 0]);
  header.writeUInt32BE(transaction + message.type * 0x10_0000, 4);
  header.writeUInt16BE(0x80_00, 10);
  if (message.own !== undefined) header.set(bytesOf(message.own), 12);
  header.set(Buffer.from(mac.replaceAll(':', ''), 'hex'), 28);
  header.writeUInt32BE(0x63_82_53_63, 236);
  const archCode = String(arch ?? 0).padStart(5, '0');
  const options: Buffer[] = [
    option(53, [message.type]),
    option(55, [1, 3, 42, 6, 12, 43, 54, 60, 66, 67, 175]),
  ];
  if (message.wants !== undefined) options.push(option(50, bytesOf(message.wants)));
  if (message.server !== undefined) options.push(option(54, Buffer.from(message.server, 'hex')));
  if (clientId !== undefined) options.push(option(61, Buffer.from(clientId)));
  if (arch !== undefined) {
    options.push(option(93, [0, arch]), option(94, [1, 2, 1]), option(97, Buffer.alloc(17, 1)));
    options.push(option(60, Buffer.from(`${vendor ?? 'PXEClient'}:Arch:${archCode}:UNDI:002001`)));
  }
  if (isIpxe === true) options.push(option(77, Buffer.from('iPXE')), option(175, [0xb1, 1, 1]));
  return Buffer.concat([header, ...options, Buffer.from([255]), Buffer.alloc(60)]);
}

function option(code: number, value: Iterable<number>): Buffer {
  const bytes = Buffer.from([...value]);
  return Buffer.concat([Buffer.from([code, bytes.length]), bytes]);
}

function bytesOf(address: string): Buffer {
  return Buffer.from(address.split('.').map(Number));
}

function parse(message: Buffer): DhcpAnswer {
  const options: Record<string, string> = {};
  for (let at = 240; at + 1 < message.length && message[at] !== 255; ) {
    const length = message[at + 1] ?? 0;
    if (message[at] !== 0)
      options[String(message[at])] = message.subarray(at + 2, at + 2 + length).toString('hex');
    at += message[at] === 0 ? 1 : 2 + length;
  }
  const text = message.subarray(108, 236).toString('latin1');
  return {
    address: message.subarray(16, 20).join('.'),
    nextServer: message.subarray(20, 24).join('.'),
    file: text.slice(0, text.indexOf('\0')),
    options,
  };
}
