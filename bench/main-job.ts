import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { bundledPrograms, Lab } from '../quickstart/lab/lab.ts';
import { MainJob, mainJobSites } from '../quickstart/lab/main-job.ts';
import { runProgram } from '../quickstart/lab/run-program.ts';
import { type Figure, figure, median } from './figure.ts';
import { residentMebibytes } from './resident-memory.ts';

const hubStarts = 5;
const settleSeconds = 15;

/**
 * The main job with the bundled programs: start and memory of the hub, memory of an agent that has nothing to do, and
 * the time from `kubectl apply` to containers that run and are reported at all three sites.
 */
export async function benchMainJob(tell: (line: string) => void): Promise<Figure[]> {
  tell('building the programs');
  await runProgram([process.execPath, join(import.meta.dirname, '../tools/build.ts')]);
  const folder = await mkdtemp(join(tmpdir(), 'svg-bench-'));
  // The poll time of production, so that idle is as idle as it is there.
  const lab = await Lab.open({ folder, siteNames: mainJobSites, programs: bundledPrograms, syncWait: '50s' });
  try {
    return await measure(lab, tell);
  } finally {
    await lab.close({ keepData: false });
  }
}

async function measure(lab: Lab, tell: (line: string) => void): Promise<Figure[]> {
  tell('publishing the image');
  await lab.registry.start();
  const image = await lab.publishPageImage();
  const job = new MainJob(lab, image);

  tell(`first start of the hub, then ${hubStarts} more`);
  const firstStart = await lab.startHub();
  const starts: number[] = [];
  for (let round = 0; round < hubStarts; round++) {
    await lab.hub.stop();
    starts.push(await lab.startHub());
  }

  tell('sites, agents, image');
  await lab.apply(await job.sitesYaml());
  for (const name of mainJobSites) await lab.startAgent(name);
  await job.waitConnected(mainJobSites);
  for (const site of lab.sites.values())
    await site.podman.podman('pull', '--quiet', '--tls-verify=false', image);

  tell('kubectl apply of the application');
  // One wave. A canary is a wait that the user asked for: it doubles the time and adds its soak.
  const yaml = (await job.applicationYaml()).replace(/ +- \{ name: canary.*\n/, '');
  const started = performance.now();
  await lab.apply(yaml);
  await job.waitRunning(mainJobSites, 'First edition');
  const applySeconds = (performance.now() - started) / 1000;

  tell(`${settleSeconds} s of quiet, then memory`);
  await sleep(settleSeconds * 1000);
  const hubMebibytes = await residentMebibytes(lab.hub.pid);
  const agentMebibytes = await Promise.all(
    [...lab.sites.values()].map((site) => residentMebibytes(site.agentPid)),
  );

  return [
    figure('hub: first start, keys made, until ready', firstStart, { unit: 's', mark: { atMost: 1 } }),
    figure('hub: later start, until ready, median', median(starts), { unit: 's', mark: { atMost: 1 } }),
    figure('hub: memory (RSS), three sites', hubMebibytes, { unit: 'MiB', mark: { atMost: 120 } }),
    figure('agent: memory (RSS), idle, largest of three', Math.max(...agentMebibytes), {
      unit: 'MiB',
      mark: { atMost: 64 },
    }),
    figure('kubectl apply to Running at three sites, one wave', applySeconds, {
      unit: 's',
      mark: { atMost: 5 },
    }),
  ];
}
