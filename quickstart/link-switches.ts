import { watch } from 'node:fs';
import { access, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Lab } from './lab/lab.ts';

/**
 * Links are cut and joined from another terminal by a file for each site that is cut: DATA/cut/SITE. Calls `changed`
 * for every link that changes.
 */
export async function obeyLinkSwitches(
  lab: Lab,
  changed: (site: string, isCut: boolean) => void,
  signal: AbortSignal,
): Promise<void> {
  const folder = switchDir(lab.folder);
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  const cut = new Set<string>();
  const look = async () => {
    for (const site of lab.sites.values()) {
      const isCut = await exists(join(folder, site.name));
      if (isCut === cut.has(site.name)) continue;
      if (isCut) {
        cut.add(site.name);
        site.cut();
      } else {
        cut.delete(site.name);
        site.join();
      }
      changed(site.name, isCut);
    }
  };
  let looking = Promise.resolve();
  watch(folder, { signal }, () => {
    looking = looking.then(look);
  });
}

/** `npm run quickstart -- cut|join SITE`. */
export async function setLinkSwitch(labFolder: string, site: string, isCut: boolean): Promise<void> {
  const folder = switchDir(labFolder);
  if (!(await exists(folder)))
    throw new Error('no quickstart runs on this data folder; start "npm run quickstart" first');
  if (!(await exists(join(labFolder, 'sites', site)))) throw new Error(`there is no site ${site}`);
  if (isCut) await writeFile(join(folder, site), '');
  else await rm(join(folder, site), { force: true });
}

/** The folder goes when the quickstart ends, so that a switch for nobody is an error. */
export async function removeLinkSwitches(labFolder: string): Promise<void> {
  await rm(switchDir(labFolder), { recursive: true, force: true });
}

function switchDir(labFolder: string): string {
  return join(labFolder, 'cut');
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}
