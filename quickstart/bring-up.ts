import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Lab } from './lab/lab.ts';
import { MainJob, mainJobSites } from './lab/main-job.ts';
import type { Narrator } from './narrator.ts';

/** The main job from nothing: image, hub, sites, agents, application; returns when every page answers. */
export async function bringUp(lab: Lab, narrator: Narrator): Promise<MainJob> {
  const image = await narrator.step('An image registry, and in it the page as an image', async (say) => {
    await lab.registry.start();
    const name = await lab.publishPageImage();
    say(name);
    return name;
  });
  const job = new MainJob(lab, image);

  await narrator.step('The hub: one process', async (say) => {
    const seconds = await lab.startHub();
    say(`${lab.hub.url}, ready after ${seconds.toFixed(2)} s`);
  });

  await narrator.step('Three sites: a cloud region and two shops', async (say) => {
    const file = join(lab.folder, 'sites.yaml');
    await writeFile(file, await job.sitesYaml());
    narrator.command(`kubectl apply -f ${file}`);
    for (const line of lines(await lab.apply(await job.sitesYaml()))) say(line);
  });

  await narrator.step('Each site gets an agent, which joins with a token and calls the hub', async (say) => {
    for (const name of mainJobSites) {
      const { withToken } = await lab.startAgent(name);
      if (withToken) narrator.command(`selvedge site token ${name}`);
      else say(`${name} has joined before`);
    }
    await job.waitConnected(mainJobSites);
    for (const name of mainJobSites) await lab.noteEnrolled(name);
    for (const line of lines(await lab.selvedge('status'))) say(line);
  });

  await narrator.step('One application for all of them, canary first', async (say) => {
    const file = join(lab.folder, 'application.yaml');
    const earlier = await readFile(file, 'utf8').catch(() => undefined);
    const yaml = earlier === undefined ? await job.applicationYaml() : job.withImage(earlier);
    await writeFile(file, yaml);
    narrator.command(`kubectl apply -f ${file}`);
    for (const line of lines(await lab.apply(yaml))) say(line);
    await job.waitRunning(mainJobSites, editionOf(yaml), 180);
    for (const line of lines(await lab.selvedge('status'))) say(line);
  });

  await narrator.step('Every page answers, each with its own words', async (say) => {
    for (const site of lab.sites.values()) {
      const page = await job.waitPage(site.name, ({ site: name }) => name === site.name, 30);
      say(`${site.pageUrl}  ${page.site}: ${page.greeting}`);
    }
  });
  return job;
}

/** What `EDITION:` says in an application file. */
export function editionOf(yaml: string): string {
  return (/^\s*EDITION:\s*(.*?)\s*$/m.exec(yaml)?.[1] ?? '').replace(/^(['"])(.*)\1$/, '$2');
}

function lines(text: string): string[] {
  return text.trimEnd().split('\n');
}
