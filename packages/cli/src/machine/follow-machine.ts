import {
  durationHint,
  isWishUnderWay,
  type Machine,
  machineFaults,
  machines,
  parseDuration,
  printable,
} from '@selvedge/api';
import type { HttpClient } from '@selvedge/kube';
import { CommandError, type ExitCode, exitCode, UsageError } from '../program/exit-code.ts';
import { repeatOnChange } from '../program/repeat-on-change.ts';
import type { CommandContext } from '../program/terminal.ts';
import { type Progress, progressText } from './machine-summary.ts';
import { stampedLine } from './render-timeline.ts';

export interface Following {
  readonly name: string;
  /** Of the Machine at the time: what happened before is not told. */
  readonly afterMoment?: number;
  /** As a duration; absent: for ever. */
  readonly timeout?: string | undefined;
  /** Whether it is where it was to go; absent: goes on until it is stopped. */
  readonly isThere?: (machine: Machine) => boolean;
  /** Told as they come; off where the answer is to be JSON. */
  readonly tell: (line: string) => void;
}

const refreshMilliseconds = 10_000;

/** The number of the last moment of a machine's timeline. */
export function lastMoment({ status }: Machine): number {
  return status?.timeline?.at(-1)?.n ?? 0;
}

/**
 * Tells what happens at a machine until it is where it was to go (0), or has given up (1). Throws CommandError when that takes too long, or the machine is
 * deleted meanwhile.
 */
export async function followMachine(
  client: HttpClient,
  following: Following,
  ctx: CommandContext,
): Promise<ExitCode> {
  const { name, timeout, isThere, tell } = following;
  const seconds = timeout === undefined ? undefined : parseDuration(timeout);
  if (timeout !== undefined && seconds === undefined) throw new UsageError(`--timeout ${durationHint}`);
  const ended = new AbortController();
  const signal = AbortSignal.any([ctx.process.signal, ended.signal]);
  const { clock } = ctx.process;
  const timer =
    seconds === undefined ? undefined : clock.sleep(seconds * 1000, signal).then(() => ended.abort());
  let told = following.afterMoment ?? 0;
  let [step, progress, unsent, isOver] = ['', '', '', false];
  const exit = await repeatOnChange(
    { client, ctx, signal },
    { watched: [{ resource: machines, name }], refreshMilliseconds },
    async () => {
      const machine = await client.find<Machine>(machines, { name });
      if (machine === undefined) throw new CommandError(`machine ${name} was deleted`);
      const { timeline = [], error, operationalStatus, waiting, progress: isAt } = machine.status ?? {};
      // A rack whose memory was lost counts from 1 again.
      if (lastMoment(machine) < told) told = 0;
      for (const moment of timeline) if (moment.n > told) tell(stampedLine(moment, ctx.paint));
      told = lastMoment(machine);
      if (isThere === undefined) return { exit: exitCode.ok, isDone: false };
      const fault = machineFaults(machine).find(({ type }) => type === 'Synced')?.message ?? '';
      if (fault !== unsent && fault !== '') tell(printable(`Nothing happens yet: ${fault}`));
      unsent = fault;
      const expected = waiting?.expected ?? '';
      if (expected !== step && expected !== '') tell(`waits for: ${expected}`);
      step = expected;
      const mark = progressMark(isAt);
      if (isAt && mark !== '' && mark !== progress) tell(progressText(isAt));
      progress = mark;
      const isHeard = !isWishUnderWay(machine);
      const hasFailed = isHeard && operationalStatus === 'Error';
      isOver = hasFailed || (isHeard && isThere(machine));
      if (hasFailed && error) ctx.hint(`selvedge: ${name}: ${error.reason}: ${error.message}`);
      return { exit: hasFailed ? exitCode.trouble : exitCode.ok, isDone: isOver };
    },
  );
  const isTimedOut = !isOver && !ctx.process.signal.aborted && ended.signal.aborted;
  ended.abort();
  await timer;
  if (isTimedOut) {
    throw new CommandError(
      `machine ${name} is not there within ${timeout}`,
      `It goes on; selvedge machine show ${name} tells what is waited for.`,
    );
  }
  return exit;
}

/** Another one with every tenth of the way; empty: there is no way to speak of. */
function progressMark(progress: Progress | undefined): string {
  if (progress === undefined || progress.total <= 1) return '';
  return `${progress.step} ${Math.floor((10 * progress.done) / progress.total)}`;
}
