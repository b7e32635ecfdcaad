import { type IncomingMessage, request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { Duplex } from 'node:stream';
import { connect as tlsConnect } from 'node:tls';
import type { Container, Probe } from '../manifest-model.ts';
import type { PodNetworkAccess } from '../pod-network-access.ts';
import type { ExecProbes } from './exec-probe.ts';

/** A running container, and where it is reached. */
export interface ProbeTarget {
  readonly containerId: string;
  readonly container: Container;
  /** Process that holds the pod's network. */
  readonly infraPid: number;
  readonly podIP: string;
  /** Milliseconds. */
  readonly startedAt: number;
}

export interface ProbeAccess {
  readonly exec: ExecProbes;
  readonly network: PodNetworkAccess;
}

/** One try. Resolves when the probe passed, rejects with the reason when not. */
export async function checkProbe(
  probe: Probe,
  { target, access, signal }: { target: ProbeTarget; access: ProbeAccess; signal: AbortSignal },
): Promise<void> {
  if (probe.exec) await access.exec.run(target.containerId, target.container, probe.exec.command);
  if (probe.tcpSocket) {
    const address = {
      host: probe.tcpSocket.host ?? target.podIP,
      port: portOf(probe.tcpSocket.port, target.container),
    };
    await access.network.connect(target.infraPid, address, signal);
  }
  if (probe.httpGet) await checkHttp(probe.httpGet, { target, access, signal });
}

interface Try {
  readonly target: ProbeTarget;
  readonly access: ProbeAccess;
  readonly signal: AbortSignal;
}

async function checkHttp(get: NonNullable<Probe['httpGet']>, { target, access, signal }: Try): Promise<void> {
  const address = { host: get.host ?? target.podIP, port: portOf(get.port, target.container) };
  const isTls = get.scheme === 'HTTPS';
  const headers = Object.fromEntries(
    (get.httpHeaders ?? []).map(({ name, value }) => [name.toLowerCase(), value]),
  );
  const raw = access.network.dial(target.infraPid, address);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  raw.on('error', reject);
  const stream: Duplex = isTls ? tlsConnect({ socket: raw, rejectUnauthorized: false }) : raw;
  stream.on('error', reject);
  const req = (isTls ? httpsRequest : httpRequest)({
    createConnection: () => stream,
    path: get.path === undefined || get.path === '' ? '/' : get.path,
    signal,
    headers: {
      host: `${address.host}:${address.port}`,
      'user-agent': 'kube-probe/selvedge',
      connection: 'close',
      ...headers,
    },
  });
  req.on('error', reject);
  req.on('response', (res: IncomingMessage) => {
    res.resume();
    const code = res.statusCode ?? 0;
    if (code >= 200 && code < 400) resolve();
    else reject(new Error(`HTTP ${code}`));
  });
  req.end();
  await promise.finally(() => {
    req.destroy();
    raw.destroy();
  });
}

function portOf(port: number | string, container: Container): number {
  if (typeof port === 'number') return port;
  return container.ports?.find((p) => p.name === port)?.containerPort ?? 0;
}
