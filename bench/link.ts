import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { requireCluster } from '@selvedge/testkit';
import { bundledPrograms } from '../quickstart/lab/lab.ts';
import { LinkedCluster } from '../quickstart/lab/linked-cluster.ts';
import { runProgram } from '../quickstart/lab/run-program.ts';
import { type Figure, figure, renderFigure } from './figure.ts';
import { measureForward } from './link/measure-forward.ts';
import { measureKubectl } from './link/measure-kubectl.ts';
import { measureList } from './link/measure-list.ts';
import { measureRequests } from './link/measure-requests.ts';
import { openWays, type Ways } from './link/ways.ts';
import { residentMebibytes } from './resident-memory.ts';

const watches = 50;
const settleSeconds = 5;

/**
 * What the service link costs: everything is asked at the site's own API server and, in turns, through hub and agent, so that a figure is a
 * ratio of this machine. Bundled programs; a real kube-apiserver where KUBEBUILDER_ASSETS names one.
 */
export async function benchLink(tell: (line: string) => void): Promise<Figure[]> {
  const { skip } = requireCluster('kube-apiserver');
  const kind = skip === false ? 'kube-apiserver' : 'our api server';
  if (skip !== false) tell(`${skip}: measured on our own API server, without port-forward`);
  tell('building the programs');
  await runProgram([process.execPath, join(import.meta.dirname, '../tools/build.ts')]);
  await using linked = await LinkedCluster.start({ kind, programs: bundledPrograms });
  // However it ends, what it started ends with it.
  const leave = () => void linked[Symbol.asyncDispose]().finally(() => process.exit(1));
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, leave);
  await using ways = await openWays(linked);
  tell('one request after another, and many at once');
  const figures: Figure[] = [];
  const add = (more: readonly Figure[]) => {
    figures.push(...more);
    for (const one of more) tell(renderFigure(one));
  };
  add(await measureRequests(ways));
  tell(`${watches} watches`);
  add(await measureWatchMemory(linked, ways));
  tell('kubectl get');
  add(await measureKubectl(linked));
  tell('a large list');
  add(await measureList(linked, ways));
  if (kind === 'kube-apiserver') {
    tell('port-forward');
    add(await measureForward(linked));
  }
  add(await memory(linked, 'afterwards'));
  return figures;
}

/** A watch costs a stream of the link and a connection of the agent to the API server. */
async function measureWatchMemory(linked: LinkedCluster, { through }: Ways): Promise<Figure[]> {
  const before = await memory(linked, 'with an open link');
  const ended = Array.from({ length: watches }, () => through.watch('/api/v1/namespaces/linked/secrets'));
  await Promise.all(ended.map(({ begun }) => begun));
  await sleep(settleSeconds * 1000);
  const after = await memory(linked, `with ${watches} watches`);
  for (const { end } of ended) end();
  return [...before, ...after];
}

async function memory({ hub, agentPid }: LinkedCluster, when: string): Promise<Figure[]> {
  return [
    figure(`hub: memory (RSS) ${when}`, await residentMebibytes(hub.pid), { unit: 'MiB' }),
    figure(`agent: memory (RSS) ${when}`, await residentMebibytes(agentPid), { unit: 'MiB' }),
  ];
}
