/**
 * `npm run bench -- NAME [--json]`: measures one thing and holds it against its marks (docs/reference/performance.md).
 * Exit code 1 when a mark is missed. With --json stdout is one JSON array of figures and nothing else.
 */
import { parseArgs } from 'node:util';
import { prepareMachine } from '../tools/setup/prepare-machine.ts';
import { useRepositoryTools } from '../tools/testing/run-step.ts';
import { benchApi } from './api.ts';
import { type Figure, renderFigure } from './figure.ts';
import { benchHubMachines } from './hub-machines.ts';
import { benchKubernetes } from './kubernetes.ts';
import { benchLink } from './link.ts';
import { benchMachines } from './machines.ts';
import { benchMainJob } from './main-job.ts';
import { benchRack } from './rack.ts';
import { benchRollout } from './rollout.ts';
import { benchSources } from './sources.ts';

const usage = `usage: npm run bench -- main-job [--json]
       npm run bench -- hub-machines [--json] [--machines N] [--data FOLDER]
       npm run bench -- kubernetes [--json] [--idle-seconds N]
       npm run bench -- link [--json]
       npm run bench -- machines [--json] [--machines N] [--runs N] [--part memory|single|debian|many]...
       npm run bench -- rack [--json] [--machines N]
       npm run bench -- rollout [--json] [--sites N] [--agents N] [--data FOLDER]
       npm run bench -- sources [--json] [--agents N] [--data FOLDER]
       npm run bench -- api [--json] [--objects N] [--start-objects N] [--data FOLDER]
                            [--kubeconfig FILE [--pid PID]... [--stop COMMAND --start COMMAND] [--without-hub]]`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'boolean', default: false },
    kubeconfig: { type: 'string' },
    pid: { type: 'string', multiple: true, default: [] },
    stop: { type: 'string' },
    start: { type: 'string' },
    data: { type: 'string' },
    objects: { type: 'string', default: '10000' },
    'start-objects': { type: 'string', default: '100000' },
    'node-argument': { type: 'string', multiple: true, default: [] },
    'without-hub': { type: 'boolean', default: false },
    sites: { type: 'string', default: '10000' },
    agents: { type: 'string', default: '100' },
    machines: { type: 'string' },
    runs: { type: 'string', default: '3' },
    part: { type: 'string', multiple: true },
    'idle-seconds': { type: 'string', default: '300' },
  },
});
const tell = (line: string) => console.error(line);
const benches: Readonly<Record<string, () => Promise<Figure[]>>> = {
  'main-job': async () => {
    const problems = await prepareMachine('quickstart', tell);
    if (problems.length > 0) throw new Error(problems.join('\n'));
    return benchMainJob(tell);
  },
  'hub-machines': () =>
    benchHubMachines({ machines: Number(values.machines ?? 1_000), data: values.data }, tell),
  kubernetes: () => benchKubernetes({ idleSeconds: Number(values['idle-seconds']) }, tell),
  link: () => benchLink(tell),
  machines: async () => {
    const problems = await prepareMachine('test', tell);
    for (const problem of problems) tell(problem);
    const { machines, runs, part: parts = ['memory', 'single', 'many'] } = values;
    return benchMachines({ machines: Number(machines ?? 20), runs: Number(runs), parts }, tell);
  },
  rack: () => benchRack({ machines: Number(values.machines ?? 200) }, tell),
  rollout: () => {
    const { sites, agents, data } = values;
    return benchRollout({ sites: Number(sites), agents: Number(agents), data }, tell);
  },
  sources: () => benchSources({ agents: Number(values.agents), data: values.data }, tell),
  api: () =>
    benchApi(
      {
        kubeconfig: values.kubeconfig,
        pids: values.pid.map(Number),
        stopCommand: values.stop,
        startCommand: values.start,
        data: values.data,
        objects: Number(values.objects),
        startObjects: Number(values['start-objects']),
        nodeArguments: values['node-argument'],
        withoutHub: values['without-hub'],
      },
      tell,
    ),
};

const [name = ''] = positionals;
const bench = Object.hasOwn(benches, name) ? benches[name] : undefined;
if (bench === undefined || positionals.length !== 1) {
  console.error(usage);
  process.exitCode = 2;
} else {
  process.exitCode = await main(bench);
}

async function main(run: () => Promise<Figure[]>): Promise<number> {
  useRepositoryTools(process.env);
  const figures = await run();
  if (values.json) console.log(JSON.stringify(figures, undefined, 2));
  else for (const line of figures.map(renderFigure)) console.log(line);
  return figures.every(({ met }) => met) ? 0 : 1;
}
