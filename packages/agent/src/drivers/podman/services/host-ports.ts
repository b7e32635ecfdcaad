import { createSocket } from 'node:dgram';
import { readdir, readFile, readlink } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { Protocol } from '../manifest-model.ts';

/** A port of the machine that a Service asks for cannot be had. */
export class HostPortError extends Error {
  override readonly name = 'HostPortError';
  readonly reason: 'PortInUse' | 'PortNotPermitted';

  constructor(reason: 'PortInUse' | 'PortNotPermitted', message: string) {
    super(message);
    this.reason = reason;
  }
}

export interface HostPort {
  readonly hostPort: number;
  readonly protocol: Protocol;
}

/** Throws HostPortError, with who holds the port as far as this user may know it. */
export async function assertPortFree({ hostPort, protocol }: HostPort, hostIp: string): Promise<void> {
  const code = await (protocol === 'UDP' ? tryUdp : tryTcp)(hostPort, hostIp);
  if (code === undefined) return;
  if (code === 'EACCES') {
    throw new HostPortError(
      'PortNotPermitted',
      `port ${hostPort} needs more rights than this user has; use a port from 1024 on, or lower net.ipv4.ip_unprivileged_port_start`,
    );
  }
  if (code !== 'EADDRINUSE') return;
  const holder = await findHolder(hostPort, protocol).catch(() => undefined);
  const who = holder === undefined ? 'another program' : `process ${holder}`;
  throw new HostPortError('PortInUse', `port ${hostPort}/${protocol} of this machine is in use by ${who}`);
}

function tryTcp(port: number, host: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'unknown'));
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(undefined)));
  });
}

function tryUdp(port: number, host: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4');
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'unknown'));
    socket.bind({ port, address: host, exclusive: true }, () => socket.close(() => resolve(undefined)));
  });
}

/** `pid (program)`, found by the socket's inode; other users' processes are not visible to an ordinary user. */
async function findHolder(port: number, protocol: Protocol): Promise<string | undefined> {
  const inodes = await listeningInodes(port, protocol);
  if (inodes.size === 0) return undefined;
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const files = await readdir(`/proc/${pid}/fd`).catch(() => []);
    for (const file of files) {
      const link = await readlink(`/proc/${pid}/fd/${file}`).catch(() => '');
      const inode = /^socket:\[(\d+)\]$/.exec(link)?.[1];
      if (inode === undefined || !inodes.has(inode)) continue;
      const program = (await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '')).trim();
      return `${pid} (${program})`;
    }
  }
  return undefined;
}

async function listeningInodes(port: number, protocol: Protocol): Promise<Set<string>> {
  const inodes = new Set<string>();
  const hexPort = port.toString(16).toUpperCase().padStart(4, '0');
  const listening = protocol === 'TCP' ? '0A' : '07';
  for (const family of ['', '6']) {
    const table = await readFile(`/proc/net/${protocol.toLowerCase()}${family}`, 'utf8').catch(() => '');
    for (const line of table.split('\n').slice(1)) {
      const fields = line.trim().split(/\s+/);
      if (fields[1]?.endsWith(`:${hexPort}`) && fields[3] === listening && fields[9]) inodes.add(fields[9]);
    }
  }
  return inodes;
}
