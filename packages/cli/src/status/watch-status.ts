import { applications, isStatusError, rollouts, sites } from '@selvedge/api';
import { createLogger } from '@selvedge/api/node';
import { createInformer, type HttpClient, type Informer } from '@selvedge/kube';
import { type ExitCode, exitCode } from '../program/exit-code.ts';
import type { CommandContext, OutputFormat } from '../program/terminal.ts';
import { exitCodeOf, formatStatus } from './show-status.ts';
import type { StatusReport } from './status-report.ts';

/** A burst of changes is one reading. */
const settleMilliseconds = 300;
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
  const { ctx } = watch;
  const { clock, signal } = ctx.process;
  let markChanged: () => void = () => undefined;
  const stop = new AbortController();
  const informers = startInformers(watch, { signal: stop.signal, onChange: () => markChanged() });
  let last: ExitCode = exitCode.ok;
  try {
    while (!signal.aborted) {
      const changed = new Promise<void>((resolve) => {
        markChanged = resolve;
      });
      try {
        const report = await watch.read();
        last = exitCodeOf(report);
        await show(report, watch.output, ctx);
      } catch (error) {
        if (!isStatusError(error, 'ServiceUnavailable')) throw error;
        last = exitCode.unreachable;
        ctx.hint(`selvedge: ${error.message}; trying again`);
      }
      const waiting = new AbortController();
      const end = () => waiting.abort();
      signal.addEventListener('abort', end, { once: true });
      await Promise.race([changed, clock.sleep(refreshMilliseconds, waiting.signal)]);
      end();
      signal.removeEventListener('abort', end);
      await clock.sleep(settleMilliseconds, signal);
    }
  } finally {
    stop.abort();
    await informers;
  }
  return last;
}

function startInformers(
  { client, namespace, ctx }: { client: HttpClient; namespace: string | undefined; ctx: CommandContext },
  { signal, onChange }: { signal: AbortSignal; onChange: () => void },
): Promise<unknown> {
  const common = { client, clock: ctx.process.clock, logger: createLogger({ level: 'silent' }) };
  const inNamespace = namespace === undefined ? {} : { namespace };
  const informers: Informer[] = [
    createInformer({ ...common, resource: sites }),
    ...[applications, rollouts].map((resource) => createInformer({ ...common, resource, ...inNamespace })),
  ];
  for (const informer of informers) informer.onChange({ add: onChange, update: onChange, delete: onChange });
  return Promise.all(informers.map((informer) => informer.run(signal)));
}

async function show(report: StatusReport, output: OutputFormat, ctx: CommandContext): Promise<void> {
  if (output === 'json') {
    ctx.print(JSON.stringify(report));
    return;
  }
  const text = await formatStatus(report, output, ctx);
  const isTerminal = ctx.process.stdout.isTTY === true && output === 'table';
  const separator = output === 'yaml' ? '---\n' : '';
  ctx.print(isTerminal ? `\u001b[H\u001b[2J\u001b[3J${text}` : `${separator}${text}\n`);
}
