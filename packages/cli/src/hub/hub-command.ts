import { isStatusError } from '@selvedge/api';
import type { HubOptions } from '@selvedge/hub';
import { CommandError, UsageError } from '../program/exit-code.ts';
import { isProgrammingFault } from './command-errors.ts';

/** Clock, logger and chance are the hub's own. */
export type HubCommandOptions = Omit<HubOptions, 'clock' | 'logger' | 'random' | 'awsKeys'>;

/** Runs the hub until a signal stops it. What keeps it from starting is told in one line, as everywhere. */
export async function hubCommand(
  options: Partial<HubCommandOptions>,
  environment: Readonly<Record<string, string | undefined>>,
): Promise<void> {
  const { data } = options;
  if (data === undefined) throw new UsageError('--data DIR is needed: the folder for everything that lasts');
  const { awsKeysOf, HubOptionError, runHub } = await import('@selvedge/hub');
  const awsKeys = awsKeysOf(environment);
  try {
    await runHub({ ...options, data, ...(awsKeys === undefined ? {} : { awsKeys }) });
  } catch (cause) {
    if (!(cause instanceof Error) || isStatusError(cause) || isProgrammingFault(cause)) throw cause;
    if (cause instanceof HubOptionError) throw new UsageError(cause.message, { cause });
    throw new CommandError(cause.message, undefined, { cause });
  }
}
