import {
  durationHint,
  machineErrorReasons,
  type MachineClaim,
  machineClaims,
  parseDuration,
  printable,
} from '@selvedge/api';
import type { HttpClient } from '@selvedge/kube';
import { connect, type ConnectOptions } from '../program/connect.ts';
import { CommandError, exitCode, UsageError } from '../program/exit-code.ts';
import { repeatOnChange } from '../program/repeat-on-change.ts';
import { type Command, type CommandContext, formatDocument, type OutputFormat } from '../program/terminal.ts';
import { type InstallFlags, readInstall } from './machine-flags.ts';

export interface AllocateOptions extends ConnectOptions, Partial<InstallFlags> {
  readonly claim: string;
  readonly site?: string;
  readonly machine?: string;
  readonly label?: Record<string, string>;
  readonly cores?: number;
  readonly memory?: string;
  /** `SIZE` or `SIZE:ssd`, `SIZE:hdd`. */
  readonly withDisk?: readonly string[];
  /** `VENDOR[:PRODUCT][=COUNT]`. */
  readonly accelerator?: readonly string[];
  readonly tag?: readonly string[];
  readonly notTag?: readonly string[];
  readonly arch?: 'amd64' | 'arm64';
  readonly expression?: string;
  readonly wait?: boolean;
  readonly timeout?: string;
  readonly output: OutputFormat;
}

const refreshMilliseconds = 10_000;
/** The hub answers within a moment whether there is a machine. */
const answerMilliseconds = 15_000;

/** Makes a MachineClaim, and says which machine it got or why it has none yet. */
export const allocateCommand: Command<AllocateOptions> = async (options, ctx) => {
  const claim = await claimOf(options);
  const seconds = options.timeout === undefined ? undefined : parseDuration(options.timeout);
  if (options.timeout !== undefined && seconds === undefined)
    throw new UsageError(`--timeout ${durationHint}`);
  await using hub = await connect(options, ctx.process);
  const present = await hub.client.find<MachineClaim>(machineClaims, { name: options.claim });
  if (present) {
    const { machineName } = present.status ?? {};
    throw new CommandError(
      `there is a claim ${options.claim} already${machineName === undefined ? '' : `, with machine ${machineName}`}`,
      `kubectl delete machineclaim ${options.claim} gives it up.`,
    );
  }
  await hub.client.create<MachineClaim>(machineClaims, claim);
  const limit = options.wait === true ? seconds && seconds * 1000 : answerMilliseconds;
  const last = await waitForClaim(
    hub.client,
    { name: options.claim, wait: options.wait === true, limit },
    ctx,
  );
  if (options.output === 'table') tellClaim(last, ctx);
  else ctx.print(await formatDocument(options.output, last));
  const { phase } = last.status ?? {};
  if (options.wait === true) return phase === 'Ready' ? exitCode.ok : exitCode.trouble;
  return phase === 'Bound' || phase === 'Ready' ? exitCode.ok : exitCode.trouble;
};

async function claimOf(options: AllocateOptions): Promise<MachineClaim> {
  const { claim: name, site, machine, label, image } = options;
  const install = image === undefined ? undefined : await readInstall({ ...options, image });
  if (
    install === undefined &&
    (options.userData ?? options.userDataSecret ?? options.networkConfig ?? options.hostname)
  ) {
    throw new UsageError('user data, network configuration and host name need --image');
  }
  const requirements = requirementsOf(options);
  return {
    apiVersion: 'selvedge.dev/v1alpha1',
    kind: 'MachineClaim',
    metadata: { name },
    spec: {
      ...(site === undefined ? {} : { siteName: site }),
      ...(machine === undefined ? {} : { machineName: machine }),
      ...(label === undefined ? {} : { machineSelector: { matchLabels: label } }),
      ...(Object.keys(requirements).length === 0 ? {} : { requirements }),
      ...install,
    },
  };
}

type Requirements = NonNullable<MachineClaim['spec']['requirements']>;

function requirementsOf(options: AllocateOptions): Requirements {
  const { cores, memory, withDisk, accelerator, tag, notTag, arch, expression } = options;
  return {
    ...(cores === undefined ? {} : { cores }),
    ...(memory === undefined ? {} : { memory }),
    ...(withDisk === undefined ? {} : { disks: withDisk.map(readDisk) }),
    ...(accelerator === undefined ? {} : { accelerators: accelerator.map(readAccelerator) }),
    ...(tag === undefined ? {} : { tags: [...tag] }),
    ...(notTag === undefined ? {} : { notTags: [...notTag] }),
    ...(arch === undefined ? {} : { architecture: arch }),
    ...(expression === undefined ? {} : { expression }),
  };
}

function readDisk(text: string): NonNullable<Requirements['disks']>[number] {
  const [size = '', kind, ...rest] = text.split(':');
  if (size === '' || rest.length > 0 || (kind !== undefined && kind !== 'ssd' && kind !== 'hdd')) {
    throw new UsageError(`--with-disk ${text}: write it as 200G, 200G:ssd or 4T:hdd`);
  }
  return { size, ...(kind === undefined ? {} : { rotational: kind === 'hdd' }) };
}

function readAccelerator(text: string): NonNullable<Requirements['accelerators']>[number] {
  const { vendor, product, count } =
    /^(?<vendor>[^:=]*)(?::(?<product>[^=]+))?(?:=(?<count>[1-9]\d?))?$/.exec(text)?.groups ?? {};
  if (vendor === undefined)
    throw new UsageError(`--accelerator ${text}: write it as VENDOR, VENDOR:PRODUCT or VENDOR=COUNT`);
  return {
    ...(vendor === '' || vendor === 'any' ? {} : { vendor }),
    ...(product === undefined ? {} : { product }),
    ...(count === undefined ? {} : { count: Number(count) }),
  };
}

/** Until the claim has a machine, or the hub has said why it has none; with `wait` until the machine is ready. */
async function waitForClaim(
  client: HttpClient,
  { name, wait, limit }: { name: string; wait: boolean; limit: number | undefined },
  ctx: CommandContext,
): Promise<MachineClaim> {
  const ended = new AbortController();
  const signal = AbortSignal.any([ctx.process.signal, ended.signal]);
  const timer =
    limit === undefined ? undefined : ctx.process.clock.sleep(limit, signal).then(() => ended.abort());
  let told = '';
  await repeatOnChange(
    { client, ctx, signal },
    { watched: [{ resource: machineClaims, name }], refreshMilliseconds },
    async () => {
      const { status } = await client.get<MachineClaim>(machineClaims, { name });
      const message = whyNotReady(status);
      if (wait && message !== undefined && message !== told) ctx.hint(printable(message));
      told = message ?? '';
      const isAnswered = status?.phase !== undefined;
      const isOver = status?.phase === 'Ready' || status?.phase === 'Lost' || hasFailed(status);
      return { exit: exitCode.ok, isDone: isOver || (!wait && isAnswered) };
    },
  );
  ended.abort();
  await timer;
  return await client.get<MachineClaim>(machineClaims, { name });
}

/** Its machine has given up: the reason of the condition is that of the machine's error. */
function hasFailed(status: MachineClaim['status']): boolean {
  const ready = status?.conditions?.find(({ type }) => type === 'Ready');
  return ready?.status === 'False' && machineErrorReasons.some((reason) => reason === ready.reason);
}

function whyNotReady(status: MachineClaim['status']): string | undefined {
  const conditions = status?.conditions ?? [];
  const type = status?.phase === 'Pending' ? 'Bound' : 'Ready';
  const condition = conditions.find((one) => one.type === type);
  return condition?.status === 'True' ? undefined : condition?.message;
}

function tellClaim({ metadata, status }: MachineClaim, ctx: CommandContext): void {
  const { machineName, phase } = status ?? {};
  const why = printable(whyNotReady(status) ?? '');
  if (machineName === undefined) {
    ctx.print(`${metadata.name} has no machine yet: ${why || 'the hub has not looked yet'}`);
    ctx.hint(`It gets the first one that fits; kubectl get machineclaim ${metadata.name} tells.`);
    return;
  }
  ctx.print(machineName);
  if (phase !== 'Ready' && why !== '') ctx.hint(why);
  ctx.hint(
    `selvedge machine show ${machineName} -w shows how it goes; selvedge machine release ${machineName} gives it back.`,
  );
}
