import { durationHint, parseDuration, type Rollout, rollouts } from '@selvedge/api';
import { type ConnectOptions, connect } from '../program/connect.ts';
import { type ExitCode, exitCode, UsageError } from '../program/exit-code.ts';
import { repeatOnChange } from '../program/repeat-on-change.ts';
import { type Command, type CommandContext, formatDocument, type OutputFormat } from '../program/terminal.ts';
import { getRollout } from './find-rollout.ts';
import { renderRollout } from './render-rollout.ts';
import { type RolloutReport, rolloutReport } from './rollout-report.ts';
import { watchLines } from './watch-lines.ts';

export interface WatchOptions extends ConnectOptions {
  readonly name: string;
  readonly namespace?: string;
  readonly output: OutputFormat;
  /** As a duration. */
  readonly timeout?: string;
}

/** A soak counts down without an event. */
const refreshMilliseconds = { terminal: 1_000, elsewhere: 10_000 };

/**
 * Shows one rollout until it is over: Completed exits 0; Reverted, Aborted, Blocked, Superseded, or Paused by failures exit 1,
 * as does a timeout. Stopped by a person: as it stood.
 */
export const watchCommand: Command<WatchOptions> = async (options, ctx) => {
  const seconds = options.timeout === undefined ? undefined : parseDuration(options.timeout);
  if (options.timeout !== undefined && seconds === undefined)
    throw new UsageError(`--timeout ${durationHint}`);
  await using hub = await connect(options, ctx.process);
  const namespace = options.namespace ?? hub.namespace ?? 'default';
  const { client } = hub;
  const { clock } = ctx.process;
  // The rollout of this moment: one that takes its place ends this watch.
  const { metadata } = await getRollout(client, { name: options.name, namespace });
  const isTerminal = ctx.process.stdout.isTTY === true && options.output === 'table';
  const show = shower(options.output, ctx, isTerminal);
  const ended = new AbortController();
  const signal = AbortSignal.any([ctx.process.signal, ended.signal]);
  const timer =
    seconds === undefined ? undefined : clock.sleep(seconds * 1000, signal).then(() => ended.abort());
  let isOver = false;
  const exit = await repeatOnChange(
    { client, ctx, signal },
    {
      watched: [{ resource: rollouts, namespace }],
      refreshMilliseconds: isTerminal ? refreshMilliseconds.terminal : refreshMilliseconds.elsewhere,
    },
    async () => {
      const rollout = await client.get<Rollout>(rollouts, { name: metadata.name, namespace });
      const report = rolloutReport(rollout, clock.now());
      await show(report);
      isOver = report.isOver;
      return { exit: exitOf(report), isDone: report.isOver };
    },
  );
  const isTimedOut = !isOver && ended.signal.aborted;
  ended.abort();
  await timer;
  if (!isTimedOut) return exit;
  ctx.hint(`selvedge: ${metadata.name} was not over after ${options.timeout}; it goes on`);
  return exitCode.trouble;
};

function exitOf(report: RolloutReport): ExitCode {
  return report.isTrouble || report.phase === 'Superseded' ? exitCode.trouble : exitCode.ok;
}

function shower(
  output: OutputFormat,
  ctx: CommandContext,
  isTerminal: boolean,
): (report: RolloutReport) => Promise<void> {
  if (isTerminal) return async (report) => ctx.redraw(renderRollout(report, ctx.paint));
  if (output === 'json') return async (report) => ctx.print(JSON.stringify(report));
  if (output === 'yaml') return async (report) => ctx.print(`---\n${await formatDocument('yaml', report)}`);
  const lines = watchLines();
  return async (report) => {
    for (const line of lines(report)) ctx.print(line);
  };
}
