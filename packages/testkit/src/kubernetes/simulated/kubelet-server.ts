import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import type { StreamVerb } from '@selvedge/agent/testing';
import { isStatusError } from '@selvedge/api';
import { loopbackCertificate } from '../../loopback-certificate.ts';
import { sendLog, sendProcessLog } from './pod-log.ts';
import type { Simulation } from './simulation.ts';

export interface KubeletServer {
  readonly port: number;
  close(): Promise<void>;
}

type Known = Pick<Simulation, 'pods' | 'containers'>;

const logPath = /^\/containerLogs\/([^/]+)\/([^/]+)\/([^/]+)$/;
const streamPath = /^\/(exec|attach|portForward)\/([^/]+)\/([^/]+)(?:\/([^/]+))?$/;
/** The kubelet's names of what `PodExecOptions` has: pkg/kubelet/server/remotecommand. */
const streamNames = { input: 'stdin', output: 'stdout', error: 'stderr' } as const;

/** The port of a kubelet that kube-apiserver asks for logs and streams: pkg/kubelet/server. */
export async function startKubeletServer(simulation: Known): Promise<KubeletServer> {
  const { key, certificate } = await loopbackCertificate();
  const server = createServer({ key, cert: certificate }, (req, res) => void answerLog(simulation, req, res));
  const sockets = new Set<Duplex>();
  server.on('upgrade', (req, socket, head) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    void answerUpgrade(simulation, req, { socket, head });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function answerLog(simulation: Known, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const { pathname, searchParams: query } = urlOf(req);
  const [, namespace = '', name = '', container = ''] = logPath.exec(pathname) ?? [];
  const pod = simulation.pods.find({ namespace, name });
  if (!pod) {
    res.writeHead(404).end();
    return;
  }
  query.set('container', container);
  const process = await simulation.containers.find(pod, container);
  if (process) await sendProcessLog(process, query, res);
  else sendLog(pod, query, res);
}

async function answerUpgrade(
  simulation: Known,
  req: IncomingMessage,
  { socket, head }: { socket: Duplex; head: Buffer },
): Promise<void> {
  const gone = new AbortController();
  socket.on('error', () => gone.abort());
  socket.on('close', () => gone.abort());
  const { pathname, searchParams: query } = urlOf(req);
  const [, verb = '', namespace = '', name = '', container] = streamPath.exec(pathname) ?? [];
  for (const [theirs, ours] of Object.entries(streamNames)) query.set(ours, query.get(theirs) ?? '0');
  try {
    const pod = simulation.pods.find({ namespace, name });
    const process = pod && (await simulation.containers.find(pod, container));
    if (!process) {
      refuse(socket, 404, `container ${container ?? ''} of pod ${namespace}/${name} is no process`);
      return;
    }
    const { acceptUpgrade, openStreams } = await import('@selvedge/agent/testing');
    const request = {
      verb: verb.toLowerCase() as StreamVerb,
      query,
      headers: req.headers,
      protocol: (req.headers.upgrade ?? '').toLowerCase(),
      signal: gone.signal,
    };
    acceptUpgrade(socket, head, await openStreams(request, process));
  } catch (error) {
    refuse(socket, isStatusError(error) ? error.code : 500, String(error));
  }
}

function refuse(socket: Duplex, code: number, text: string): void {
  const length = Buffer.byteLength(text);
  socket.end(`HTTP/1.1 ${code} Refused\r\nContent-Length: ${length}\r\nConnection: close\r\n\r\n${text}`);
}

const urlOf = (req: IncomingMessage) => new URL(req.url ?? '/', 'https://kubelet.example');
