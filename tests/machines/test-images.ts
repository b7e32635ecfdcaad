import { createHash } from 'node:crypto';
import { globSync, readFileSync } from 'node:fs';
import { access, mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type MachineImage, machineImages } from '@selvedge/api';
import { buildDebianOs, buildInspectionSystem, buildTinyOs } from '@selvedge/inspection';
import { poll } from '../../quickstart/lab/poll.ts';
import { cacheHome, type RackLab } from './rack-lab.ts';

const cacheDir = join(cacheHome, 'selvedge/inspection');

/** Tools that building them takes, for `requireTool`. */
export const imageTools = ['apt-get', 'dpkg', 'sfdisk', 'mkfs.fat', 'mcopy', 'syslinux'] as const;

/** Builds the inspection system and pushes it to the hub, as a person would. */
export async function pushInspectionSystem(lab: RackLab): Promise<void> {
  await lab.selvedge('machine-image', 'build-inspection', '--kernel', 'cloud');
}

/** Folder with the inspection system, for `--rack-boot-files`; built anew when its sources have changed. */
export function buildBootFiles(): Promise<string> {
  return builtOnce('inspection', (outputDir) =>
    buildInspectionSystem({ architecture: 'amd64', kernel: 'cloud', outputDir, cacheDir }),
  );
}

/** A small operating system as a disk image; its name is shown on its console. */
export function buildTinyImage(name: string, table: 'dos' | 'gpt' = 'dos'): Promise<string> {
  return builtOnce(`${name}-${table}.raw`, (outputFile) =>
    buildTinyOs({ outputFile, cacheDir, name, table }),
  );
}

/** Debian with cloud-init as a disk image. */
export function buildDebianImage(): Promise<string> {
  return builtOnce('debian.raw', (outputFile) => buildDebianOs({ outputFile, cacheDir }));
}

export async function pushImage(lab: RackLab, name: string, file: string): Promise<void> {
  await lab.selvedge('machine-image', 'push', name, file);
}

/** Until the rack has them whole. */
export async function waitImages(lab: RackLab, ...names: readonly string[]): Promise<void> {
  await lab.waitSite(`has ${names.join(', ')}`, ({ rack }) =>
    names.every((name) => rack?.images.some((image) => image.name === name && image.state === 'Ready')),
  );
}

export function getImage(lab: RackLab, name: string): Promise<MachineImage> {
  return poll(() => lab.client.find<MachineImage>(machineImages, { name }), {
    seconds: 30,
    what: `MachineImage ${name}`,
  });
}

/** What a build made for the present sources, kept between runs. */
async function builtOnce(name: string, build: (output: string) => Promise<unknown>): Promise<string> {
  const folder = join(cacheHome, 'built', sourcesDigest());
  const output = join(folder, name);
  const isThere = await access(output).then(
    () => true,
    () => false,
  );
  if (isThere) return output;
  await mkdir(folder, { recursive: true });
  await mkdir(cacheDir, { recursive: true });
  const unfinished = join(folder, `unfinished-${process.pid}-${name}`);
  await build(unfinished);
  await rename(unfinished, output).catch(async (error: unknown) => {
    // A folder is not put over another: a test beside this one was quicker.
    await access(output).catch(() => Promise.reject(error));
    await rm(unfinished, { recursive: true });
  });
  return output;
}

function sourcesDigest(): string {
  const root = join(import.meta.dirname, '../../packages/inspection');
  const hash = createHash('sha256');
  for (const file of globSync('{src,system}/**/*', { cwd: root, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.name.endsWith('.test.ts'))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()) {
    hash.update(`${file}\n`).update(readFileSync(file));
  }
  return hash.digest('hex').slice(0, 16);
}
