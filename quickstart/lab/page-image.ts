import { copyFile, mkdir, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { findStaticBusybox } from '@selvedge/testkit';
import { runProgram } from './run-program.ts';

const appDir = join(import.meta.dirname, '../app');
const applets = [
  'awk',
  'cat',
  'false',
  'httpd',
  'kill',
  'ls',
  'mkdir',
  'nc',
  'ps',
  'sh',
  'sleep',
  'tar',
  'true',
  'wget',
];

/**
 * Builds the image of the page and pushes it. `podman` is a command line for some Podman, with the environment that
 * it needs. The same sources give the same image, whenever they are built.
 */
export async function buildPageImage(options: {
  podman: readonly string[];
  env: NodeJS.ProcessEnv;
  buildDir: string;
  image: string;
}): Promise<void> {
  const { podman, env, buildDir, image } = options;
  const busybox = findStaticBusybox();
  if (busybox === undefined) throw new Error('no static busybox; install the package busybox-static');
  const rootfs = join(buildDir, 'rootfs');
  await rm(buildDir, { recursive: true, force: true });
  for (const folder of ['bin', 'app', 'tmp']) await mkdir(join(rootfs, folder), { recursive: true });
  await copyFile(busybox, join(rootfs, 'bin/busybox'));
  for (const applet of applets) await symlink('busybox', join(rootfs, 'bin', applet));
  for (const file of ['index.html', 'site.json', 'start.sh']) {
    await copyFile(join(appDir, file), join(rootfs, 'app', file));
  }
  const dockerfile = join(appDir, 'Dockerfile');
  await runProgram([...podman, 'build', '--timestamp', '0', '--file', dockerfile, '--tag', image, buildDir], {
    env,
  });
  await runProgram([...podman, 'push', '--tls-verify=false', '--quiet', image], { env });
}
