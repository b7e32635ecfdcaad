import { join } from 'node:path';
import { runProgram } from '../quickstart/lab/run-program.ts';
import { startHubTarget } from './api/hub-target.ts';
import { type Measurement, measure } from './api/measure.ts';
import { namedTarget, type Target } from './api/target.ts';
import { type Figure, figure, type Mark } from './figure.ts';

export interface ApiBenchOptions {
  /** Of any kube-apiserver: measured by the same program in the same run, and compared with. */
  readonly kubeconfig: string | undefined;
  /** Processes of that server whose memory counts. */
  readonly pids: readonly number[];
  /** Shell commands that stop and start that server on the same data. */
  readonly stopCommand: string | undefined;
  readonly startCommand: string | undefined;
  /** Folder for the hub's data: put it on the disk that the other server uses. */
  readonly data: string | undefined;
  readonly objects: number;
  readonly startObjects: number;
  /** Arguments of the hub's node. */
  readonly nodeArguments: readonly string[];
  /** Only the other server. */
  readonly withoutHub: boolean;
}

const watchers = 1000;

/** Speed and memory of the hub's API, and of any kube-apiserver beside it. */
export async function benchApi(options: ApiBenchOptions, tell: (line: string) => void): Promise<Figure[]> {
  const measured: Measurement[][] = [];
  const { objects, startObjects } = options;
  const run = async (target: Target) => {
    try {
      measured.push(await measure(target, { objects, startObjects, watchers, tell }));
    } finally {
      await target.close();
    }
  };
  if (!options.withoutHub) {
    tell('building the programs');
    await runProgram([process.execPath, join(import.meta.dirname, '../tools/build.ts')]);
    const { data, nodeArguments } = options;
    await run(await startHubTarget({ ...(data === undefined ? {} : { parent: data }), nodeArguments }));
  }
  const { kubeconfig } = options;
  if (kubeconfig !== undefined) await run(namedTarget({ ...options, kubeconfig }));
  const [ours = [], other = []] = measured;
  return [
    ...ours.map((m) => plainFigure('hub', m)),
    ...other.map((m) => plainFigure('other', m)),
    ...ratios(ours, other),
  ];
}

const plainFigure = (whose: string, { name, value, unit }: Measurement) =>
  figure(`${whose}: ${name}`, value, { unit });

function ratios(ours: readonly Measurement[], other: readonly Measurement[]): Figure[] {
  return ours.flatMap((own) => {
    const same = other.find(({ name }) => name === own.name);
    if (same === undefined) return [];
    const { ratio, mark } = compare(own, same);
    return [figure(`hub / other: ${own.name}`, ratio, { unit: '×', mark })];
  });
}

/** The marks of the API server, as in docs/reference/performance.md. Lists are compared by speed, as writes are. */
function compare(own: Measurement, other: Measurement): { ratio: number; mark: Mark } {
  if (own.name.startsWith('list') || own.name.startsWith('the same')) {
    return { ratio: other.value / own.value, mark: { atLeast: 2 } };
  }
  const ratio = own.value / other.value;
  if (own.better === 'more') return { ratio, mark: { atLeast: 2 } };
  if (own.name.startsWith('memory')) return { ratio, mark: { atMost: 0.25 } };
  return { ratio, mark: { atMost: own.name.startsWith('start') ? 0.2 : 1 } };
}
