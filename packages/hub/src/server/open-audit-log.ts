import { readFile } from 'node:fs/promises';
import type { Clock, Logger } from '@selvedge/api';
import { AuditLog, type AuditPolicy, defaultAuditPolicy, parseAuditPolicy } from '@selvedge/apiserver';
import { HubOptionError } from './hub-option-error.ts';
import type { AuditFileOptions } from './serving-options.ts';

export interface OpenAuditLog {
  readonly policy: AuditPolicy;
  readonly sink: AuditLog;
  close(): Promise<void>;
}

/**
 * The audit log, with its policy; opens the file anew on SIGHUP, for programs such as logrotate that move it away.
 * Throws HubOptionError when the policy cannot be read or the file not be opened.
 */
export async function openAuditLog(
  { path, policyFile, maxBytes, maxBackups }: AuditFileOptions,
  { clock, logger }: { clock: Clock; logger: Logger },
): Promise<OpenAuditLog> {
  const policy = policyFile === undefined ? defaultAuditPolicy() : await readPolicy(policyFile);
  const sink = await AuditLog.open({
    path,
    maxBytes,
    maxBackups,
    now: () => clock.now(),
    logger: logger.child({ component: 'audit' }),
  }).catch((cause: unknown) => {
    throw new HubOptionError(`--audit-log-path: ${messageOf(cause)}`, { cause });
  });
  const onHangup = () => sink.reopen();
  process.on('SIGHUP', onHangup);
  return {
    policy,
    sink,
    close: async () => {
      process.removeListener('SIGHUP', onHangup);
      await sink.close();
    },
  };
}

async function readPolicy(path: string): Promise<AuditPolicy> {
  try {
    return parseAuditPolicy(await readFile(path, 'utf8'));
  } catch (cause) {
    throw new HubOptionError(`--audit-policy-file: ${messageOf(cause)}`, { cause });
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
