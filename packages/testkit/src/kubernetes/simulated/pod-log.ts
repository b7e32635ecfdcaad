import type { IncomingMessage, ServerResponse } from 'node:http';
import type { KubeObject, ObjectClient } from '@selvedge/api';
import type { ContainerProcess, ProcessLine } from './container-process.ts';
import { pods } from './workload-resources.ts';
import { logLines } from './pod-script.ts';

const logPath = /^\/api\/v1\/namespaces\/([^/]+)\/pods\/([^/]+)\/log$/;

/**
 * Answers `GET …/pods/NAME/log` as kube-apiserver does with what the kubelet says; false: it is another request. Our API server has no such
 * subresource. Whoever knows the way in may read them: logs of simulated pods hold nothing.
 */
export function servePodLog(client: ObjectClient, req: IncomingMessage, res: ServerResponse): boolean {
  const url = new URL(req.url ?? '/', 'https://cluster.example');
  const [, namespace, name] = logPath.exec(url.pathname) ?? [];
  if (req.method !== 'GET' || namespace === undefined || name === undefined) return false;
  client
    .get<KubeObject>(pods, { namespace, name })
    .then((pod) => sendLog(pod, url.searchParams, res))
    .catch(() => sendStatus(res, { code: 404, reason: 'NotFound', message: `pods "${name}" not found` }));
  return true;
}

/** The log of one container as the query of `PodLogOptions` asks for it. */
export function sendLog(pod: KubeObject, query: URLSearchParams, res: ServerResponse): void {
  const lines = logLines(pod, {
    container: query.get('container') ?? undefined,
    previous: query.get('previous') === 'true',
  });
  if (lines === undefined) {
    const message = `container "${query.get('container') ?? ''}" in pod "${pod.metadata.name}" is waiting to start: trying and failing to pull image`;
    sendStatus(res, { code: 400, reason: 'BadRequest', message });
    return;
  }
  const tail = query.get('tailLines');
  const shown = tail === null ? lines : lines.slice(-Number(tail));
  res.writeHead(200, { 'content-type': 'text/plain' });
  res.end(shown.map((line) => `${line}\n`).join(''));
}

/** The log of a container that is a process: `follow` goes on until it ends or nobody reads any more. */
export async function sendProcessLog(
  process: ContainerProcess,
  query: URLSearchParams,
  res: ServerResponse,
): Promise<void> {
  const has = (name: string) => query.get(name) === 'true';
  const write = ({ time, text }: ProcessLine) =>
    res.write(has('timestamps') ? `${time.toISOString()} ${text}\n` : `${text}\n`);
  const gone = new AbortController();
  res.once('close', () => gone.abort());
  res.writeHead(200, { 'content-type': 'text/plain' });
  res.flushHeaders();
  const tail = query.get('tailLines');
  const first = tail === null ? 0 : Math.max(0, process.lines.length - Number(tail));
  for (const line of process.lines.slice(first)) write(line);
  if (has('follow')) await process.follow(write, gone.signal);
  res.end();
}

function sendStatus(res: ServerResponse, status: { code: number; reason: string; message: string }): void {
  res.writeHead(status.code, { 'content-type': 'application/json' });
  res.end(JSON.stringify({ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', ...status }));
}
