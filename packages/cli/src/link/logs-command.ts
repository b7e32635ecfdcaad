import { escapeControls, parseDuration } from '@selvedge/api';
import type { HttpClient } from '@selvedge/kube';
import { connect, type ConnectOptions } from '../program/connect.ts';
import { type ExitCode, exitCode, UsageError } from '../program/exit-code.ts';
import type { CommandContext } from '../program/terminal.ts';
import { getContainer, getPods, podPath, type SiteApplication, siteError } from './site-pods.ts';

export interface LogsOptions extends ConnectOptions {
  readonly site: string;
  readonly application: string;
  readonly namespace?: string;
  readonly follow?: boolean;
  /** Lines; `all`. */
  readonly tail?: string;
  readonly since?: string;
  readonly container?: string;
  readonly pod?: string;
  readonly previous?: boolean;
  readonly timestamps?: boolean;
}

/** Of each container, where neither --tail nor --since says otherwise. */
const defaultTail = '100';
/** A line without an end is printed in pieces of this length. */
const longestLine = 64 * 1024;

interface LogSource {
  readonly path: string;
  readonly container: string;
  /** Before each line; '' when there is one source only. */
  readonly prefix: string;
}

/** `selvedge logs SITE APPLICATION`. */
export async function logsCommand(options: LogsOptions, ctx: CommandContext): Promise<ExitCode> {
  const query = logQuery(options);
  await using connection = await connect(options, ctx.process);
  const { client } = connection;
  const target: SiteApplication = {
    site: options.site,
    application: options.application,
    namespace: options.namespace ?? connection.namespace ?? 'default',
  };
  const sources = await findSources(client, target, options);
  const { signal } = ctx.process;
  const each = sources.map((source) => printLog(client, { source, query, signal }, ctx));
  const results = await Promise.allSettled(each);
  const failed = results.find((result) => result.status === 'rejected');
  if (failed && !signal.aborted) throw siteError(options.site, failed.reason);
  return exitCode.ok;
}

async function findSources(
  client: HttpClient,
  target: SiteApplication,
  { pod, container }: LogsOptions,
): Promise<LogSource[]> {
  const pods = await getPods(client, target, pod);
  const sources = pods.flatMap((one) => {
    const names =
      container === undefined ? one.spec.containers.map(({ name }) => name) : [getContainer(one, container)];
    return names.map((name) => ({
      path: `${podPath(target.site, one)}/log`,
      container: name,
      prefix: `[${one.metadata.name}/${name}] `,
    }));
  });
  return sources.length === 1 ? sources.map((source) => ({ ...source, prefix: '' })) : sources;
}

function logQuery(options: LogsOptions): Record<string, string | undefined> {
  const { tail, since, follow, previous, timestamps } = options;
  if (tail !== undefined && tail !== 'all' && !/^\d{1,9}$/.test(tail)) {
    throw new UsageError(`--tail ${tail}: give a number of lines, or all`);
  }
  const seconds = since === undefined ? undefined : parseDuration(since);
  if (since !== undefined && (seconds === undefined || seconds < 1)) {
    throw new UsageError(`--since ${since}: give a duration as 30s, 10m or 2h`);
  }
  const lines = tail ?? (since === undefined ? defaultTail : 'all');
  return {
    follow: follow ? 'true' : undefined,
    previous: previous ? 'true' : undefined,
    timestamps: timestamps ? 'true' : undefined,
    sinceSeconds: seconds === undefined ? undefined : String(Math.ceil(seconds)),
    tailLines: lines === 'all' ? undefined : lines,
  };
}

/** Prints whole lines, so that those of several containers do not mix. */
async function printLog(
  client: HttpClient,
  {
    source,
    query,
    signal,
  }: { source: LogSource; query: Record<string, string | undefined>; signal: AbortSignal },
  ctx: CommandContext,
): Promise<void> {
  const { path, container, prefix } = source;
  const decoder = new TextDecoder();
  let rest = '';
  const body = client.download({ path, query: { ...query, container }, idleMilliseconds: 0, signal });
  for await (const chunk of body) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > longestLine) {
      lines.push(rest);
      rest = '';
    }
    for (const line of lines) printLine(ctx, prefix, line);
    await drained(ctx, signal);
  }
  rest += decoder.decode();
  if (rest !== '') printLine(ctx, prefix, rest);
}

/** As it is into a file or pipe. In a terminal a program's colours are left, nothing else that would steer it. */
function printLine({ process: { stdout } }: CommandContext, prefix: string, line: string): void {
  stdout.write(`${escapeControls(prefix)}${stdout.isTTY === true ? showColours(line) : line}\n`);
}

/** Select Graphic Rendition of ECMA-48. */
// oxlint-disable-next-line no-control-regex
const colours = /(\u001b\[[\d;]*m)/;

function showColours(line: string): string {
  const parts = line.replace(/\r+$/, '').split(colours);
  const text = parts.map((part, i) => (i % 2 === 1 ? part : escapeControls(part))).join('');
  return parts.length > 1 ? `${text}\u001b[0m` : text;
}

/** A reader that is slow slows the site, not this machine's memory. */
async function drained(ctx: CommandContext, signal: AbortSignal): Promise<void> {
  const { stdout } = ctx.process;
  if (!stdout.writableNeedDrain || signal.aborted) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const go = () => resolve();
  stdout.once('drain', go);
  signal.addEventListener('abort', go, { once: true });
  await promise;
  stdout.off('drain', go);
  signal.removeEventListener('abort', go);
}
