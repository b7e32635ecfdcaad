import { join } from 'node:path';
import {
  faultOfDnsSubdomain,
  type MachineImage,
  machineImages,
  type MachineImageSpec,
  parseImageReference,
} from '@selvedge/api';
import type { HubConnection } from '../program/connect.ts';
import { CommandError, UsageError } from '../program/exit-code.ts';
import {
  type CliProcess,
  type CommandContext,
  formatDocument,
  type OutputFormat,
} from '../program/terminal.ts';
import { formatBytes } from '../render/bytes.ts';
import { readText } from '../machine/machine-flags.ts';
import type { PushOptions, PushProgress } from './push-image.ts';
import { hubRegistry, otherRegistry, type RegistryAccess } from './registry-access.ts';

/** Where an image goes. */
export interface TargetFlags {
  /** `host/namespace/name[:tag]`; absent: the registry of the hub. */
  readonly to?: string;
  readonly imageNamespace?: string;
  /** `user`; the password is read from the file. */
  readonly registryUser?: string;
  readonly registryPasswordFile?: string;
  readonly insecureRegistry?: boolean;
}

interface Target {
  readonly target: string;
  readonly access: RegistryAccess;
  readonly namespace: string;
}

/** What a push needs beside what is pushed, and the namespace for `MachineImage.spec`. Throws UsageError. */
export async function prepareUpload(
  repository: string,
  flags: TargetFlags,
  { hub, ctx }: { hub: HubConnection; ctx: CommandContext },
): Promise<{ namespace: string; upload: PushOptions }> {
  const { namespace, target, access } = await readTarget(repository, flags, hub);
  const { clock, signal } = ctx.process;
  const uploads = uploadNotes(ctx.process);
  return { namespace, upload: { target, access, uploads, clock, signal, onProgress: progressTeller(ctx) } };
}

/** The registry that flags mean. */
async function readTarget(name: string, flags: TargetFlags, hub: HubConnection): Promise<Target> {
  const { to, imageNamespace = 'default' } = flags;
  const hubHost = new URL(hub.kubeconfig.server).host;
  if (to === undefined) {
    const target = `${hubHost}/${imageNamespace}/${name}`;
    return { target, access: hubRegistry(hub.kubeconfig), namespace: imageNamespace };
  }
  const reference = parseImageReference(to);
  if (reference === undefined) throw new UsageError(`--to ${to}: write it as host/namespace/name[:tag]`);
  const { registry, repository } = reference;
  if (registry === hubHost) {
    const namespace = repository.split('/')[0] ?? imageNamespace;
    return { target: to, access: hubRegistry(hub.kubeconfig), namespace };
  }
  const login = await readLogin(flags);
  const options = {
    host: registry,
    isInsecure: flags.insecureRegistry === true,
    ...(login ? { login } : {}),
  };
  return { target: to, access: otherRegistry(options), namespace: imageNamespace };
}

async function readLogin({
  registryUser,
  registryPasswordFile,
}: TargetFlags): Promise<RegistryAccess['login']> {
  if (registryUser === undefined && registryPasswordFile === undefined) return undefined;
  if (registryUser === undefined || registryPasswordFile === undefined) {
    throw new UsageError('--registry-user and --registry-password-file: give both');
  }
  const password = await readText('--registry-password-file', registryPasswordFile);
  return { username: registryUser, password: password.replace(/\r?\n$/, '') };
}

/** Where notes of begun uploads lie, so that a push that was cut goes on. Undefined: this person has no home. */
function uploadNotes({ env }: CliProcess): string | undefined {
  const cache = cacheFolder(env);
  return cache === undefined ? undefined : join(cache, 'uploads');
}

/** Where Debian packages are kept that systems of ours are built of. Throws UsageError. */
export function packageCache({ env }: CliProcess): string {
  const cache = cacheFolder(env);
  if (cache === undefined) throw new UsageError('HOME or XDG_CACHE_HOME has to say where packages are kept');
  return join(cache, 'inspection');
}

/** As the XDG base directory specification has it. */
function cacheFolder(env: CliProcess['env']): string | undefined {
  const home = env['HOME'];
  const base = env['XDG_CACHE_HOME'] ?? (home === undefined ? undefined : join(home, '.cache'));
  return base === undefined ? undefined : join(base, 'selvedge');
}

const tellMilliseconds = 2_000;

/** Says now and then how far it is, on stderr. */
function progressTeller(ctx: CommandContext): (progress: PushProgress) => void {
  const { clock } = ctx.process;
  let [last, step] = [0, ''];
  return ({ step: now, doneBytes, totalBytes }) => {
    const time = clock.now().getTime();
    if (now === step && time - last < tellMilliseconds) return;
    [last, step] = [time, now];
    const percent = totalBytes > 0 ? Math.floor((100 * doneBytes) / totalBytes) : 0;
    ctx.hint(`${now} ${percent} % (${formatBytes(doneBytes)} of ${formatBytes(totalBytes)})`);
  };
}

/** Throws UsageError when no image can have this name, CommandError when one has it: what one stands for never changes. */
export async function mustBeNew({ client }: HubConnection, name: string): Promise<void> {
  const fault = faultOfDnsSubdomain(name);
  if (fault !== undefined) throw new UsageError(`the name of the image ${fault}`);
  const present = await client.find<MachineImage>(machineImages, { name });
  if (!present) return;
  throw new CommandError(
    `there is a machine image ${name} already, and what a name stands for does not change`,
    `Give the new one another name: ${name}-2`,
  );
}

export async function createImage(
  { client }: HubConnection,
  name: string,
  spec: MachineImageSpec,
): Promise<MachineImage> {
  return await client.create<MachineImage>(machineImages, {
    apiVersion: 'selvedge.dev/v1alpha1',
    kind: 'MachineImage',
    metadata: { name },
    spec,
  });
}

/** The image itself where a program asks; else a line for people, and what can be done with it. */
export async function tellImage(
  image: MachineImage,
  { output, line, hint }: { output: OutputFormat; line: string; hint: string },
  ctx: CommandContext,
): Promise<void> {
  if (output !== 'table') ctx.print(await formatDocument(output, image));
  else {
    ctx.print(line);
    ctx.hint(hint);
  }
}
