import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { findTool, unpackedToolsDir } from '@selvedge/testkit';
import {
  downloadPackage,
  findInstaller,
  type Installer,
  installPackages,
  isDebian,
  isKnown,
  refreshLists,
  unpackPackage,
  writeConfiguration,
} from './apt.ts';
import { type Need, needsFor, type Purpose, type UnpackedNeed, unpackedNeeds } from './needs.ts';

/**
 * Installs what is missing on a Debian or Ubuntu machine, naming each package and why. Returns what could not be had,
 * as sentences; the caller decides whether it can go on.
 */
export async function prepareMachine(
  purpose: Purpose,
  tell: (line: string) => void = console.log,
): Promise<string[]> {
  const problems: string[] = [];
  const isRoot = process.getuid?.() === 0;
  const missing = needsFor(purpose, isRoot).filter((need) => !isThere(need));
  const installer = findInstaller();
  if (missing.length > 0) problems.push(...(await install(missing, installer, tell)));
  for (const need of unpackedNeeds) {
    if (need.isThere()) continue;
    const problem = await unpack(need, installer, tell);
    if (problem === undefined) continue;
    if (purpose === 'quickstart' && need.tests === 'only') tell(`    ${problem}`);
    else problems.push(problem);
  }
  problems.push(...findOldPodman());
  return problems;
}

/** Ubuntu 22.04 has Podman 3, which has neither netavark nor the API that the agent speaks. */
function findOldPodman(): string[] {
  const podman = findTool('podman');
  if (podman === undefined) return [];
  const text = spawnSync(podman, ['--version'], { encoding: 'utf8' }).stdout ?? '';
  const [major = 0, minor = 0] = (/(\d+)\.(\d+)/.exec(text) ?? []).slice(1).map(Number);
  if (major > 4 || (major === 4 && minor >= 3)) return [];
  return [
    `${text.trim()} is too old: Selvedge needs Podman 4.3 or later, which Debian 12 and Ubuntu 24.04 have`,
  ];
}

function isThere(need: Need): boolean {
  return need.anyOf.some((name) => (name.includes('/') ? existsSync(name) : findTool(name) !== undefined));
}

async function install(
  missing: readonly Need[],
  installer: Installer,
  tell: (line: string) => void,
): Promise<string[]> {
  const list = missing.map((need) => `${need.package}: ${need.why}`);
  const names = missing.map((need) => need.package);
  if (!isDebian()) {
    return [`this is not Debian or Ubuntu, so install these by hand: ${list.join('; ')}`];
  }
  if (installer === undefined) {
    return [
      `missing: ${list.join('; ')}. Run as root: apt-get update && apt-get install --yes --no-install-recommends ${names.join(' ')}`,
    ];
  }
  tell(`==> System packages are missing; installing them with apt${installer === 'sudo' ? ' (sudo)' : ''}:`);
  for (const line of list) tell(`    ${line}`);
  try {
    for (const { configuration } of missing) {
      if (configuration !== undefined) await writeConfiguration(configuration, installer);
    }
    await installPackages(names, installer);
    return missing
      .filter((need) => !isThere(need))
      .map((need) => `${need.package} did not bring ${need.anyOf[0]}`);
  } catch (error) {
    return [error instanceof Error ? error.message : String(error)];
  }
}

async function unpack(
  need: UnpackedNeed,
  installer: Installer,
  tell: (line: string) => void,
): Promise<string | undefined> {
  const missing = `${need.name} is missing (${need.why})`;
  if (!isDebian()) return `${missing}; this is not Debian or Ubuntu, so install it by hand`;
  await refreshLists([need.package], installer);
  if (!isKnown(need.package)) {
    return `${missing}, and apt knows no package ${need.package} (try apt-get update); install ${need.name} by hand`;
  }
  tell(`==> ${need.name}: unpacking Debian's package ${need.package} into ${unpackedToolsDir}: ${need.why}`);
  try {
    await mkdir(unpackedToolsDir, { recursive: true });
    await downloadAndUnpack(need.package);
    return undefined;
  } catch (error) {
    return `${missing}: ${error instanceof Error ? error.message : String(error)}`;
  }
}

async function downloadAndUnpack(name: string): Promise<void> {
  const folder = await mkdtemp(join(unpackedToolsDir, 'download-'));
  try {
    await downloadPackage(name, folder);
    const file = (await readdir(folder)).find((entry) => entry.endsWith('.deb'));
    if (file === undefined) throw new Error(`apt-get download ${name} left no file`);
    await unpackPackage(join(folder, file), unpackedToolsDir);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
