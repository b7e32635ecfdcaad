import { mkdir, stat, writeFile } from 'node:fs/promises';
import { normalizeImage } from './container-spec.ts';
import { allContainers, type DesiredApp } from './desired-app.ts';
import type { LocalImage } from './images.ts';
import type { Container, PodSpec, Volume } from './manifest-model.ts';

/** A step cannot be done as the manifest asks; waiting does not help. */
export class PodStepError extends Error {
  override readonly name = 'PodStepError';
}

/** Throws PodStepError for a folder of the machine that a pod needs and that is not there; makes none. */
export async function checkHostPaths(app: DesiredApp): Promise<void> {
  for (const { template } of app.workloads) {
    for (const { hostPath } of template.spec.volumes ?? []) {
      if (hostPath && !hostPath.type?.endsWith('OrCreate')) await checkHostPath(hostPath);
    }
  }
}

/** Throws PodStepError for a container that may not run as its image's user. */
export function checkUsers(app: DesiredApp, images: readonly LocalImage[]): void {
  const users = new Map(images.map(({ name, user }) => [name, user]));
  for (const { template } of app.workloads) {
    for (const container of allContainers(template.spec)) {
      checkUser(template.spec, container, users.get(normalizeImage(container.image)) ?? '');
    }
  }
}

/** `runAsNonRoot` as the kubelet checks it. */
export function checkUser(spec: PodSpec, container: Container, imageUser: string): void {
  const pod = spec.securityContext ?? {};
  const own = container.securityContext ?? {};
  if (!(own.runAsNonRoot ?? pod.runAsNonRoot)) return;
  const user = String(own.runAsUser ?? pod.runAsUser ?? imageUser.split(':')[0]);
  if (/^\d+$/.test(user) && Number(user) !== 0) return;
  throw new PodStepError(
    `container ${container.name} must not run as root (runAsNonRoot), but its user is ${user === '' ? 'root' : `"${user}"`}; set runAsUser to a number above 0`,
  );
}

/** `hostPath.type` as the kubelet checks it; makes what the type says is to be made. */
export async function checkHostPath({ path, type = '' }: NonNullable<Volume['hostPath']>): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (!found && type === 'DirectoryOrCreate') await mkdir(path, { recursive: true, mode: 0o755 });
  if (!found && type === 'FileOrCreate') await writeFile(path, '', { flag: 'a', mode: 0o644 });
  if (type.endsWith('OrCreate') && !found) return;
  if (!found) throw new PodStepError(`hostPath ${path} does not exist on this machine`);
  const isRight =
    type === '' ||
    (type.startsWith('Directory') && found.isDirectory()) ||
    (type.startsWith('File') && found.isFile()) ||
    (type === 'Socket' && found.isSocket()) ||
    (type === 'CharDevice' && found.isCharacterDevice()) ||
    (type === 'BlockDevice' && found.isBlockDevice());
  if (!isRight) throw new PodStepError(`hostPath ${path} of this machine is no ${type}`);
}
