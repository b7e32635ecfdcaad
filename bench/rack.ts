import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { MachinePhase } from '@selvedge/api';
import { bundledPrograms } from '../quickstart/lab/lab.ts';
import { MachineSoak } from '../tests/machines/soak/machine-soak.ts';
import { SeededRandom } from '../tests/scenarios/seeded-random.ts';
import { type Figure, figure } from './figure.ts';
import { residentMebibytes } from './resident-memory.ts';

/** An idle agent has 64 MiB (see main-job); the role may add 40. */
const memoryMark = 104;
const patienceSeconds = 1200;
const imageBytes = 5 * 1024 * 1024;

/**
 * What many machines at once cost a rack and the hub: simulated boxes, which take no time of their own, so that what is measured is ours. The bundles that are there are
 * measured: `npm run build` first.
 */
export async function benchRack(
  { machines }: { machines: number },
  tell: (line: string) => void,
): Promise<Figure[]> {
  const agentCommand = [
    ...bundledPrograms.agent,
    'run',
    '--runtime',
    'none',
    '--rack',
    '--rack-allow-local-bmc',
  ];
  tell(`${machines} simulated boxes`);
  const soak = await MachineSoak.start({
    boxes: machines,
    random: new SeededRandom(1),
    agentCommand,
    hubProgram: bundledPrograms.cli,
    imageBytes,
    areBlank: true,
  });
  const figures: Figure[] = [];
  const measure = async (phase: MachinePhase, want: () => Promise<void>) => {
    const before = await processorSeconds(soak);
    const started = performance.now();
    let most = 0;
    await want();
    await soak.until(`all are ${phase}`, patienceSeconds, async () => {
      most = Math.max(most, await residentMebibytes(soak.agent?.pid));
      const done = (await soak.all()).filter(({ status }) => status?.phase === phase).length;
      return done === machines ? undefined : `${done} of ${machines} are ${phase}`;
    });
    const seconds = (performance.now() - started) / 1000;
    const after = await processorSeconds(soak);
    const name = `${machines} boxes at once to ${phase}`;
    figures.push(
      figure(name, seconds, { unit: 's' }),
      figure(`${name}: processor time of the agent`, after.agent - before.agent, { unit: 's' }),
      figure(`${name}: processor time of the hub`, after.hub - before.hub, { unit: 's' }),
      figure(`${name}: most memory (RSS) of the agent`, most, { unit: 'MiB', mark: { atMost: memoryMark } }),
      figure(`${name}: memory (RSS) of the hub afterwards`, await residentMebibytes(soak.hub.pid), {
        unit: 'MiB',
      }),
    );
  };
  try {
    tell('to Available');
    await measure('Available', async () => {
      for (const box of soak.boxes) await soak.createMachine(box);
    });
    tell('to Provisioned');
    await measure('Provisioned', async () => {
      const provision = { image: 'alpha' };
      for (const { name } of soak.boxes) await soak.change(name, (spec) => ({ ...spec, provision }));
    });
    tell('at rest');
    await sleep(15_000);
    const before = await processorSeconds(soak);
    await sleep(60_000);
    const after = await processorSeconds(soak);
    figures.push(
      figure(
        `${machines} machines at rest, a minute: processor time of the agent`,
        after.agent - before.agent,
        {
          unit: 's',
        },
      ),
      figure('the same: processor time of the hub', after.hub - before.hub, { unit: 's' }),
    );
    return figures;
  } finally {
    await soak.close();
  }
}

async function processorSeconds(soak: MachineSoak): Promise<{ agent: number; hub: number }> {
  const of = async (pid: number | undefined) => {
    const fields = (await readFile(`/proc/${pid ?? 0}/stat`, 'utf8')).split(') ')[1]?.split(' ') ?? [];
    return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
  };
  return { agent: await of(soak.agent?.pid), hub: await of(soak.hub.pid) };
}

/** Of Linux. */
const ticksPerSecond = 100;
