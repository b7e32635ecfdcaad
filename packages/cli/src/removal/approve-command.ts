import { type Application, applications, isNotFound, type Site, sites } from '@selvedge/api';
import type { HttpClient } from '@selvedge/kube';
import { type ConnectOptions, connect } from '../program/connect.ts';
import { CommandError, exitCode, UsageError } from '../program/exit-code.ts';
import { type Command, type CommandContext, formatDocument, type OutputFormat } from '../program/terminal.ts';
import { type HeldRemovalReport, readRemoval } from './read-removal.ts';
import { removalTarget } from './removal-target.ts';
import { renderRemoval } from './render-removal.ts';

export interface ApproveRemovalOptions extends ConnectOptions {
  readonly name: string | undefined;
  readonly sites?: true;
  readonly namespace?: string;
  /** The whole digest, or at least its first 12 digits. */
  readonly digest?: string;
  readonly volumes?: true;
  readonly yes?: true;
  readonly output: OutputFormat;
}

export const approveRemovalCommand: Command<ApproveRemovalOptions> = async (options, ctx) => {
  const digits = options.digest === undefined ? undefined : digitsOf(options.digest);
  await using hub = await connect(options, ctx.process);
  const report = await readRemoval(hub.client, removalTarget(options, hub.namespace));
  if (digits !== undefined && !isOf(report.digest, digits)) {
    throw new CommandError(
      `what would go is not what you were shown: its digest is ${report.digest} now`,
      `Look at it again: selvedge removal show ${report.title}`,
    );
  }
  if (options.volumes === true && !report.volumes) {
    throw new CommandError(
      '--volumes: no volumes would go',
      'Volumes with data go only where the application says so: spec.removal.volumes Delete.',
    );
  }
  await confirm(report, { ...options, digits }, ctx);
  for (const object of report.objects) await approve(hub.client, object, options.volumes === true);
  if (options.output !== 'table') {
    const { digest } = report;
    const approved = { digest, sites: report.sites, volumes: options.volumes === true };
    ctx.print(await formatDocument(options.output, approved));
    return exitCode.ok;
  }
  ctx.print(`Approved: ${report.sites.length} of ${report.of} go.`);
  if (report.volumes && options.volumes !== true)
    ctx.hint('Volumes with data stay: --volumes was not given.');
  return exitCode.ok;
};

/** The digest is that of the very object that was shown: one that waits for something else by now keeps waiting. */
async function approve(client: HttpClient, object: Application | Site, volumes: boolean): Promise<void> {
  const { name, namespace, uid } = object.metadata;
  const digest = object.status?.heldRemoval?.digest;
  const ref = object.kind === 'Site' ? sites : applications;
  const target = namespace === undefined ? { name } : { namespace, name };
  const approved = { digest, ...(volumes ? { volumes: true } : { volumes: null }) };
  try {
    const patch = { metadata: { uid }, spec: { removal: { approved } } };
    await client.mergePatch(ref, target, patch, { fieldManager: 'selvedge-cli' });
  } catch (error) {
    // It went meanwhile: somebody else approved it.
    if (!isNotFound(error)) throw error;
  }
}

async function confirm(
  report: HeldRemovalReport,
  options: { readonly digits: string | undefined; readonly yes?: true },
  ctx: CommandContext,
): Promise<void> {
  const { stdin, stderr, signal, clock } = ctx.process;
  if (options.yes === true && options.digits !== undefined) return;
  if (options.yes === true) {
    throw new UsageError('--yes goes with --digest: what nobody has looked at cannot be approved');
  }
  if (stdin.isTTY !== true) {
    throw new UsageError('approving asks for confirmation; pass --digest and --yes where nobody can answer');
  }
  ctx.hint(renderRemoval(report, { now: clock.now(), isWhole: false }));
  const { createInterface } = await import('node:readline/promises');
  const prompt = createInterface({ input: stdin, output: stderr });
  try {
    const question = `\nType the number of sites that go (${report.sites.length}) to approve: `;
    const answer = await prompt.question(question, { signal });
    if (answer.trim() !== String(report.sites.length)) throw new CommandError('nothing was approved');
  } finally {
    prompt.close();
  }
}

function digitsOf(digest: string): string {
  const digits = digest.replace(/^sha256:/, '').toLowerCase();
  if (!/^[0-9a-f]{12,64}$/.test(digits))
    throw new UsageError(
      '--digest has to be the digest that "selvedge removal show" names, or its first 12 digits',
    );
  return digits;
}

function isOf(digest: string, digits: string): boolean {
  return digest.slice('sha256:'.length).startsWith(digits);
}
