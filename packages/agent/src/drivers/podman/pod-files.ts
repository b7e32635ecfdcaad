import { chmod, lstat, mkdir, readdir, rename, rm, rmdir, statfs, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { FileVolume, Volume } from './manifest-model.ts';
import { secretEnvironmentFile } from './pod-environment.ts';
import type { PodPlan } from './pod-plan.ts';
import type { DataMap } from './resolved-data.ts';

const tmpfsMagics = [0x01021994, 0x858458f6];
const defaultFileMode = 0o644;

/**
 * Files that are mounted into pods: ConfigMaps in the state folder, Secrets and secret variables on a tmpfs, where no disk ever
 * sees them. A pod's content never changes (another content is another pod), so what is there is complete and right.
 */
export class PodFiles {
  readonly #stateDir: string;
  readonly #volatileDir: string;

  /** @param volatileDir below a tmpfs; checked before anything is written. */
  constructor(stateDir: string, volatileDir: string) {
    this.#stateDir = stateDir;
    this.#volatileDir = volatileDir;
  }

  /** Makes the folder for secrets; throws when they would touch a disk or somebody else could read them. */
  async #prepareVolatileDir(): Promise<void> {
    await mkdir(this.#volatileDir, { recursive: true, mode: 0o700 });
    await assertPrivateTmpfs(this.#volatileDir);
  }

  /** Folder with the files of a configMap or secret volume. */
  volumeDir(pod: string, volume: Volume): string {
    return join(volume.secret ? this.#volatileDir : this.#stateDir, 'pods', pod, 'volumes', volume.name);
  }

  /** Writes all configMap and secret volumes of a pod that are not there. */
  async writeVolumes(plan: PodPlan): Promise<void> {
    const { app, workload } = plan;
    for (const volume of workload.template.spec.volumes ?? []) {
      const folder = this.volumeDir(plan.name, volume);
      if (volume.configMap) {
        const data = app.data.configMaps.get(`${workload.namespace}/${volume.configMap.name}`);
        await writeFolder(folder, filesOf(volume.configMap, data));
      }
      if (volume.secret) {
        await this.#prepareVolatileDir();
        const data = app.data.secrets.get(`${workload.namespace}/${volume.secret.secretName}`);
        await writeFolder(folder, filesOf(volume.secret, data));
      }
    }
  }

  /** @returns the path of the file that is mounted at `secretEnvironmentPath`. */
  async writeSecretEnvironment(
    pod: string,
    container: string,
    variables: ReadonlyMap<string, string>,
  ): Promise<string> {
    await this.#prepareVolatileDir();
    const folder = join(this.#volatileDir, 'pods', pod, 'env', container);
    // The container's user may be any; the folders above it are closed to everybody on the machine.
    await writeFolder(folder, [{ path: 'env', bytes: secretEnvironmentFile(variables), mode: 0o444 }]);
    return join(folder, 'env');
  }

  async remove(pod: string): Promise<void> {
    for (const base of [this.#stateDir, this.#volatileDir]) {
      await rm(join(base, 'pods', pod), { recursive: true, force: true });
    }
    // A site without secrets leaves no trace on the tmpfs.
    for (const folder of [join(this.#volatileDir, 'pods'), this.#volatileDir]) {
      await rmdir(folder).catch(() => undefined);
    }
  }

  /** Removes the files of pods that are not there any more: what a killed agent left. */
  async keepOnly(pods: ReadonlySet<string>): Promise<void> {
    for (const base of [this.#stateDir, this.#volatileDir]) {
      const names = await readdir(join(base, 'pods')).catch(() => []);
      for (const name of names) if (!pods.has(name)) await this.remove(name);
    }
  }
}

async function assertPrivateTmpfs(path: string): Promise<void> {
  const { type } = await statfs(path);
  if (!tmpfsMagics.includes(type)) {
    throw new Error(`${path} is not on a tmpfs; Secrets would be written to disk. Give a folder on a tmpfs.`);
  }
  const stat = await lstat(path);
  if (!stat.isDirectory() || stat.uid !== process.getuid?.()) {
    throw new Error(`${path} belongs to somebody else; remove it or give another folder for Secrets.`);
  }
  await chmod(path, 0o700);
}

/** The first of the usual places that is a tmpfs. */
export async function chooseVolatileDir(name: string): Promise<string> {
  const uid = process.getuid?.() ?? 0;
  const candidates = uid === 0 ? ['/run', '/dev/shm'] : [`/run/user/${uid}`, '/dev/shm'];
  for (const base of candidates) {
    const stats = await statfs(base).catch(() => undefined);
    if (stats && tmpfsMagics.includes(stats.type)) return join(base, uid === 0 ? name : `${name}-${uid}`);
  }
  throw new Error(`none of ${candidates.join(', ')} is a tmpfs; Secrets need one`);
}

interface FileToWrite {
  readonly path: string;
  readonly bytes: Buffer | string;
  readonly mode: number;
}

function filesOf(volume: FileVolume, data: DataMap | undefined): FileToWrite[] {
  const mode = volume.defaultMode ?? defaultFileMode;
  if (!volume.items) return [...(data ?? [])].map(([path, bytes]) => ({ path, bytes, mode }));
  return volume.items.flatMap((item) => {
    const bytes = data?.get(item.key);
    return bytes === undefined ? [] : [{ path: item.path, bytes, mode: item.mode ?? mode }];
  });
}

/** All files or none: a half-written folder never has the final name. */
async function writeFolder(folder: string, files: readonly FileToWrite[]): Promise<void> {
  if (await lstat(folder).catch(() => undefined)) return;
  const draft = `${folder}.new`;
  await rm(draft, { recursive: true, force: true });
  await mkdir(draft, { recursive: true, mode: 0o755 });
  for (const { path, bytes, mode } of files) {
    const target = join(draft, path);
    await mkdir(dirname(target), { recursive: true, mode: 0o755 });
    await writeFile(target, bytes);
    await chmod(target, mode);
  }
  await rename(draft, folder);
}
