import { applications, rollouts, sites } from '@selvedge/api';
import type { HttpClient } from '@selvedge/kube';
import type { ExitCode } from '../program/exit-code.ts';
import { repeatOnChange } from '../program/repeat-on-change.ts';
import type { CommandContext, OutputFormat } from '../program/terminal.ts';
import { exitCodeOf, formatStatus } from './show-status.ts';
import type { StatusReport } from './status-report.ts';

/** Ages grow without an event, and counters of sites change with none of their own. */
const refreshMilliseconds = 10_000;

/**
 * Prints the status again whenever something changed, until the signal fires. On a terminal it takes the place of the
 * one before; elsewhere each follows the last (JSON: one document per line). A hub out of reach is waited for.
 */
export async function watchStatus(watch: {
  client: HttpClient;
  read: () => Promise<StatusReport>;
  namespace: string | undefined;
  output: OutputFormat;
  ctx: CommandContext;
}): Promise<ExitCode> {
  const { client, ctx, namespace } = watch;
  const watched = [
    { resource: sites },
    { resource: applications, namespace },
    { resource: rollouts, namespace },
  ];
  const { signal } = ctx.process;
  return await repeatOnChange({ client, ctx, signal }, { watched, refreshMilliseconds }, async () => {
    const report = await watch.read();
    await show(report, watch.output, ctx);
    return { exit: exitCodeOf(report), isDone: false };
  });
}

async function show(report: StatusReport, output: OutputFormat, ctx: CommandContext): Promise<void> {
  if (output === 'json') {
    ctx.print(JSON.stringify(report));
    return;
  }
  const text = await formatStatus(report, output, ctx);
  const isTerminal = ctx.process.stdout.isTTY === true && output === 'table';
  if (isTerminal) ctx.redraw(text);
  else ctx.print(`${output === 'yaml' ? '---\n' : ''}${text}\n`);
}
