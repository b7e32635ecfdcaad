import { join } from 'node:path';
import { getTool } from '@selvedge/testkit';
import type { LinkedCluster } from '../../quickstart/lab/linked-cluster.ts';
import { runProgram } from '../../quickstart/lab/run-program.ts';
import { type Figure, figure, median } from '../figure.ts';
import { inTurns, timed, type WayName } from './ways.ts';

const runs = 20;

/** `kubectl get` as a person has it: a new process and a new connection each time, what it knows of the API in its cache. */
export async function measureKubectl({ cluster, kubeconfigPath, folder }: LinkedCluster): Promise<Figure[]> {
  const kubectl = getTool('kubectl');
  const kubeconfigs: Record<WayName, string> = { direct: cluster.kubeconfigPath, through: kubeconfigPath };
  const get = (way: WayName) => {
    const env = { ...process.env, KUBECONFIG: kubeconfigs[way], KUBECACHEDIR: join(folder, `cache-${way}`) };
    return runProgram([kubectl, 'get', 'configmap', 'small', '-n', 'linked', '-o', 'name'], { env });
  };
  await get('direct');
  await get('through');
  const times = await inTurns(runs, (way) => timed(() => get(way)));
  const [direct, through] = [median(times.direct) * 1000, median(times.through) * 1000];
  return [
    figure('kubectl get: direct, median', direct, { unit: 'ms' }),
    figure('kubectl get: through the link, median', through, { unit: 'ms' }),
    figure('kubectl get: added by the link', through - direct, { unit: 'ms', mark: { atMost: 100 } }),
  ];
}
