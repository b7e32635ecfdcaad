import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { unpackedToolsDir } from '@selvedge/testkit';
import { bringUp } from './bring-up.ts';
import { Lab } from './lab/lab.ts';
import { mainJobPagePorts, mainJobSites } from './lab/main-job.ts';
import { obeyLinkSwitches, removeLinkSwitches } from './link-switches.ts';
import { Narrator } from './narrator.ts';

/** Where the quickstart keeps everything when no other folder is given. */
export const defaultDataDir = join(import.meta.dirname, '../.selvedge/quickstart');

/** `npm run quickstart`: the main job, until Ctrl-C. Leaves the data folder only. Returns the exit code. */
export async function stayUp(dataDir: string, signal: AbortSignal): Promise<number> {
  const narrator = new Narrator();
  narrator.heading('Selvedge: one application, a cloud region and two shops, on this machine');
  let lab: Lab | undefined;
  let exitCode = 0;
  try {
    lab = await Lab.open({
      folder: dataDir,
      siteNames: mainJobSites,
      proxied: ['shop-2'],
      pagePorts: mainJobPagePorts,
      syncWait: '5s',
    });
    const job = await Promise.race([bringUp(lab, narrator), whenAborted(signal)]);
    if (job !== undefined && !signal.aborted) {
      await writeFile(brokenFile(lab), await job.brokenApplicationYaml('Broken edition'));
      await obeyLinkSwitches(
        lab,
        (site, isCut) => narrator.note(`${site} is ${isCut ? 'cut off' : 'joined again'}`),
        signal,
      );
      showWhatToTry(lab, narrator, await job.canary());
      await whenAborted(signal);
    }
  } catch (error) {
    narrator.problem(error instanceof Error ? error.message : String(error));
    narrator.note(`logs: ${dataDir}`);
    exitCode = 1;
  }
  narrator.heading('Stopping');
  await narrator.step('Containers, agents, hub and registry', async () => {
    await removeLinkSwitches(dataDir);
    await lab?.close({ keepData: true });
  });
  narrator.note(
    `What is left: ${dataDir}. "npm run quickstart" goes on from there; remove it to begin anew.`,
  );
  return exitCode;
}

function showWhatToTry(lab: Lab, narrator: Narrator, canary: string): void {
  const application = join(lab.folder, 'application.yaml');
  const elsewhere = lab.folder === defaultDataDir ? '' : ` --data ${lab.folder}`;
  narrator.heading('It runs. Open:');
  for (const site of lab.sites.values()) narrator.note(`${site.pageUrl}  ${site.name}`);
  narrator.heading('Then try, in another terminal:');
  narrator.command(`export KUBECONFIG=${lab.hub.kubeconfig}`);
  const { path } = lab.kubectl;
  const kubectl = path?.startsWith(unpackedToolsDir) ? path : 'kubectl';
  if (path === undefined)
    narrator.note('(There is no kubectl on this machine: see https://kubernetes.io/docs/tasks/tools/)');
  narrator.command(`${kubectl} get sites,applications,rollouts,deliveries -A`);
  narrator.command('npx selvedge status');
  narrator.command('npx selvedge why shop-2 page -n shop');
  narrator.note('Cut a shop off, change the EDITION in application.yaml, and join the shop again:');
  narrator.command(`npm run quickstart -- cut shop-2${elsewhere}`);
  narrator.command(`${kubectl} apply -f ${application}`);
  narrator.command(`${kubectl} get deliveries -n shop -w`);
  narrator.command(`npm run quickstart -- join shop-2${elsewhere}`);
  narrator.note('Apply a release that crashes: the canary goes back by itself, no other site hears of it:');
  narrator.command(`${kubectl} apply -f ${brokenFile(lab)}`);
  narrator.command('npx selvedge rollout watch page -n shop');
  narrator.command(`npx selvedge why ${canary} page -n shop`);
  narrator.note('Ctrl-C here stops everything.');
}

function brokenFile(lab: Lab): string {
  return join(lab.folder, 'broken-application.yaml');
}

function whenAborted(signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(undefined);
    else signal.addEventListener('abort', () => resolve(undefined), { once: true });
  });
}
