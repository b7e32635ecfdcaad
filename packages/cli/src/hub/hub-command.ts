import { isStatusError } from '@selvedge/api';
import type { HubOptions } from '@selvedge/hub';
import { CommandError, UsageError } from '../program/exit-code.ts';
import { isProgrammingFault } from './command-errors.ts';

/** Clock, logger and chance are the hub's own. */
export type HubCommandOptions = Omit<HubOptions, 'clock' | 'logger' | 'random'>;

/** Runs the hub until a signal stops it. What keeps it from starting is told in one line, as everywhere. */
export async function hubCommand(options: Partial<HubCommandOptions>): Promise<void> {
  const { data } = options;
  if (data === undefined) throw new UsageError('--data DIR is needed: the folder for everything that lasts');
  const { HubOptionError, runHub } = await import('@selvedge/hub');
  try {
    await runHub({ ...options, data });
  } catch (cause) {
    if (!(cause instanceof Error) || isStatusError(cause) || isProgrammingFault(cause)) throw cause;
    if (cause instanceof HubOptionError) throw new UsageError(cause.message, { cause });
    throw new CommandError(cause.message, undefined, { cause });
  }
}
