import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Delivery, RolloutPhase } from '@selvedge/api';
import type { Lab } from './lab/lab.ts';
import { type MainJob, mainJobSites } from './lab/main-job.ts';
import { assertAlwaysAnswered, PageProber } from './lab/page-prober.ts';
import { poll } from './lab/poll.ts';

/** One thing that the main job has to prove; `prove` throws when it does not hold, and returns what was measured. */
export interface CheckStep {
  name: string;
  title: string;
  /** `say` shows a person what it has found. */
  prove: (lab: Lab, job: MainJob, say: (line: string) => void) => Promise<Record<string, unknown>>;
}

export const checkSteps: readonly CheckStep[] = [
  {
    name: 'own-values',
    title: 'Three sites answer over HTTP, each with its own value',
    prove: proveOwnValues,
  },
  {
    name: 'canary-first',
    title: 'An update goes canary first, and every page keeps answering',
    prove: proveCanaryFirst,
  },
  {
    name: 'bad-release',
    title: 'A release that crashes is stopped at the canary, which goes back by itself',
    prove: proveBadRelease,
  },
  {
    name: 'cut-off',
    title: 'A shop is cut off, misses an update, serves on, and catches up',
    prove: proveCutOff,
  },
  {
    name: 'agent-restart',
    title: 'An agent is killed; the application does not notice',
    prove: proveAgentRestart,
  },
  { name: 'reboot', title: 'A shop reboots while hub and registry are gone', prove: proveReboot },
];

async function proveOwnValues(lab: Lab, job: MainJob): Promise<Record<string, unknown>> {
  const pages = await Promise.all(mainJobSites.map((name) => job.waitPage(name, () => true, 30)));
  const { status } = await job.application();
  assert.deepEqual(
    pages.map((page) => page.site),
    mainJobSites,
    'every page names its own site',
  );
  assert.equal(new Set(pages.map((page) => page.greeting)).size, 3, 'every site has a greeting of its own');
  for (const page of pages)
    assert.equal(page.release, status?.release, `${page.site} serves the newest release`);
  const cloud = await lab.site('cloud').runningContainers();
  const html = await (await fetch(lab.site('cloud').pageUrl)).text();
  assert.ok(html.includes('<h1>cloud</h1>'), 'the page itself is HTML that names the site');
  return {
    greetings: Object.fromEntries(pages.map((page) => [page.site, page.greeting])),
    cloudContainers: cloud.length,
  };
}

async function proveCanaryFirst(lab: Lab, job: MainJob): Promise<Record<string, unknown>> {
  const edition = 'Second edition';
  const prober = new PageProber([...lab.sites.values()]);
  try {
    await lab.apply(await job.applicationYaml(edition));
    await job.waitRunning(mainJobSites, edition);
    await waitCompleted(job);
    await sleep(1000);
  } finally {
    await prober.stop();
  }
  const records = await prober.stop();
  assertAlwaysAnswered(records);

  const rollout = await job.rollout();
  const [canaryWave] = rollout.status?.waves ?? [];
  assert.equal(canaryWave?.name, 'canary');
  const passTime = new Date(canaryWave?.passTime ?? Number.NaN);
  const deliveries = await job.deliveries();
  const canaries = deliveries.filter((delivery) => delivery.spec.wave === 'canary');
  assert.equal(canaries.length, 1, 'one site is the canary');
  const canary = canaries[0]?.spec.site ?? '';
  const others = mainJobSites.filter((name) => name !== canary);
  for (const name of others) {
    const assigned = new Date(ofSite(deliveries, name).spec.assignedTime);
    // Times in the API are whole seconds.
    assert.ok(assigned.getTime() >= passTime.getTime(), `${name} was assigned before the canary wave passed`);
    const seen = records.find((record) => record.site === name)?.firstSeen.get(edition);
    const seenAtCanary = records.find((record) => record.site === canary)?.firstSeen.get(edition);
    assert.ok(seen !== undefined && seenAtCanary !== undefined, 'the new edition was seen');
    assert.ok(seen > seenAtCanary, `${name} served the new edition before the canary`);
    assert.ok(
      seen.getTime() >= passTime.getTime(),
      `${name} served the new edition before the canary wave passed`,
    );
  }
  return {
    canary,
    requestsAnswered: records.reduce((sum, record) => sum + record.requests, 0),
    requestsFailed: 0,
  };
}

async function proveBadRelease(
  lab: Lab,
  job: MainJob,
  say: (line: string) => void,
): Promise<Record<string, unknown>> {
  const good = (await job.application()).status?.release;
  const started = performance.now();
  const containers = new Map<string, string[]>();
  for (const name of mainJobSites) containers.set(name, await lab.site(name).runningContainers());
  const prober = new PageProber([...lab.sites.values()]);
  let canary = '';
  try {
    await lab.apply(await job.brokenApplicationYaml('Broken edition'));
    await waitPhase(job, 'Reverted');
    const { metadata } = await job.rollout();
    const touched = (await job.deliveries()).filter(({ spec }) => spec.rollout === metadata.name);
    assert.equal(touched.length, 1, 'one site had to do with it');
    canary = touched[0]?.spec.site ?? '';
    await poll(
      async () => {
        const { spec, status } = ofSite(await job.deliveries(), canary);
        return spec.release === good && status.state === 'Running' ? true : undefined;
      },
      { seconds: 60, what: `${canary} runs ${good} again`, why: () => job.explain([canary]) },
    );
    await sleep(1000);
  } finally {
    await prober.stop();
  }
  const records = await prober.stop();
  assertAlwaysAnswered(records);
  for (const { site, firstSeen } of records)
    assert.ok(!firstSeen.has('Broken edition'), `${site} never served the broken edition`);

  const rollout = await job.rollout();
  assert.equal(rollout.status?.breach?.wave, 'canary');
  assert.match(rollout.status?.breach?.message ?? '', new RegExp(`${canary} \\(CrashLoop`));
  const release = await job.release(rollout.spec.release);
  assert.equal(
    release.status?.condemned?.rollout,
    rollout.metadata.name,
    'nobody offers the release any more',
  );
  for (const name of mainJobSites.filter((one) => one !== canary)) {
    assert.equal(ofSite(await job.deliveries(), name).spec.release, good, `${name} was never told of it`);
    // What is missing since then was on its way out from the step before.
    const made = (await lab.site(name).runningContainers()).filter(
      (one) => !containers.get(name)?.includes(one),
    );
    assert.deepEqual(made, [], `nothing was started at ${name}`);
  }
  const seconds = (performance.now() - started) / 1000;
  // It ends with 1: the site does not run what was applied last.
  const { stdout: why } = await lab.trySelvedge('why', canary, 'page', '--namespace', 'shop');
  say(`selvedge why ${canary} page -n shop:`);
  for (const line of why.trimEnd().split('\n')) say(`  ${line}`);
  for (const word of [rollout.spec.release, 'CrashLoop', 'condemned', 'Reverted'])
    assert.ok(why.includes(word), `why says ${word}`);

  const edition = 'Repaired edition';
  await lab.apply(await job.applicationYaml(edition));
  await job.waitRunning(mainJobSites, edition);
  await waitPhase(job, 'Completed');
  return {
    canary,
    breach: rollout.status?.breach?.reason ?? '',
    stoppedAndBackSeconds: round(seconds),
    requestsAnswered: records.reduce((sum, record) => sum + record.requests, 0),
    requestsFailed: 0,
  };
}

async function proveCutOff(lab: Lab, job: MainJob): Promise<Record<string, unknown>> {
  const edition = 'Third edition';
  const shop = lab.site('shop-2');
  const before = await job.waitPage('shop-2', () => true, 10);
  shop.cut();
  await poll(async () => ((await job.site('shop-2')).status?.connectivity === 'Away' ? true : undefined), {
    seconds: 60,
    what: 'shop-2 is Away',
    why: () => job.explain(['shop-2']),
  });
  await lab.apply(await job.applicationYaml(edition));
  const others = mainJobSites.filter((name) => name !== 'shop-2');
  await job.waitRunning(others, edition);
  await waitCompleted(job);

  const { status } = await job.application();
  assert.equal(status?.sites?.failed, 0, 'an away site is not failed');
  const away = ofSite(await job.deliveries(), 'shop-2');
  assert.equal(away.status.connectivity, 'Away');
  assert.notEqual(away.status.state, 'Failed');
  assert.equal((await shop.findPage())?.edition, before.edition, 'the shop serves what it had');

  const started = performance.now();
  shop.join();
  await job.waitPage('shop-2', (page) => page.edition === edition, 60);
  const seconds = (performance.now() - started) / 1000;
  await job.waitRunning(['shop-2'], edition);
  assert.ok(seconds <= 30, `caught up after ${seconds} s`);
  return { servedWhileAway: before.edition, catchUpSeconds: round(seconds) };
}

async function proveAgentRestart(lab: Lab, job: MainJob): Promise<Record<string, unknown>> {
  const edition = 'Fourth edition';
  const shop = lab.site('shop-1');
  const containers = await shop.runningContainers();
  const prober = new PageProber([shop]);
  try {
    await shop.crashAgent();
    await sleep(1500);
    await lab.startAgent('shop-1');
    await job.waitConnected(['shop-1']);
    await sleep(1500);
  } finally {
    await prober.stop();
  }
  const records = await prober.stop();
  assertAlwaysAnswered(records);
  assert.deepEqual(await shop.runningContainers(), containers, 'no container was restarted');
  await lab.apply(await job.applicationYaml(edition));
  await job.waitRunning(mainJobSites, edition);
  return { requestsAnswered: records[0]?.requests ?? 0, containersRestarted: 0 };
}

async function proveReboot(lab: Lab, job: MainJob): Promise<Record<string, unknown>> {
  const shop = lab.site('shop-1');
  const before = await job.waitPage('shop-1', () => true, 10);
  await lab.hub.stop();
  await lab.registry.stop();
  await shop.reboot();
  assert.equal(await shop.findPage(), undefined, 'after the power cut nothing answers');
  const started = performance.now();
  await lab.startAgent('shop-1');
  const after = await job.waitPage('shop-1', () => true, 60);
  const seconds = (performance.now() - started) / 1000;
  assert.deepEqual(after, before, 'the shop serves what it served before');

  const edition = 'Fifth edition';
  await lab.registry.start();
  const hubSeconds = await lab.startHub();
  await job.waitConnected(mainJobSites);
  await lab.apply(await job.applicationYaml(edition));
  await job.waitRunning(mainJobSites, edition);
  return { answeredAfterSeconds: round(seconds), hubStartSeconds: round(hubSeconds) };
}

function waitCompleted(job: MainJob): Promise<void> {
  return waitPhase(job, 'Completed');
}

async function waitPhase(job: MainJob, phase: RolloutPhase): Promise<void> {
  await poll(async () => ((await job.rollout()).status?.phase === phase ? true : undefined), {
    seconds: 120,
    what: `the rollout is ${phase}`,
    everyMilliseconds: 300,
    why: () => job.explain([]),
  });
}

function ofSite(deliveries: readonly Delivery[], site: string): Delivery {
  const found = deliveries.find((delivery) => delivery.spec.site === site);
  assert.ok(found, `there is a delivery of ${site}`);
  return found;
}

function round(seconds: number): number {
  return Math.round(seconds * 100) / 100;
}
