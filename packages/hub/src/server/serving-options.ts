import { resolve } from 'node:path';
import { durationHint, parseDuration } from '@selvedge/api';
import { defaultFlowLimits, defaultMaxObjectsPerKind, type FlowLimits } from '@selvedge/apiserver';
import { HubOptionError } from './hub-option-error.ts';

/** How requests are bounded and recorded, as on the command line. Those of kube-apiserver have its names. */
export interface ServingFlags {
  /** Requests in work at once. */
  readonly maxRequestsInflight?: string;
  /** Open watches of all users. */
  readonly maxWatches?: string;
  /** Open connections. */
  readonly maxConnections?: string;
  /** Objects of one kind; creations beyond it are refused. */
  readonly maxObjectsPerKind?: string;
  /** How long a hub that is told to stop goes on serving while `/readyz` fails, as a duration. Default 0s. */
  readonly shutdownDelay?: string;
  /** `none`, `-` for standard output, or a file; default DATA/audit.log. */
  readonly auditLogPath?: string;
  /** An `audit.k8s.io/v1 Policy`; default: writes, and reads of secrets, without bodies. */
  readonly auditPolicyFile?: string;
  /** MiB at which the file is set aside; 0: never. */
  readonly auditLogMaxsize?: string;
  /** How many files that were set aside are kept; 0: all. */
  readonly auditLogMaxbackup?: string;
}

export interface ServingOptions {
  readonly limits: FlowLimits;
  readonly maxConnections: number;
  readonly maxObjectsPerKind: number;
  readonly shutdownDelayMs: number;
  readonly audit: AuditFileOptions | undefined;
}

export interface AuditFileOptions {
  readonly path: string;
  readonly policyFile: string | undefined;
  readonly maxBytes: number;
  readonly maxBackups: number;
}

export const defaultMaxConnections = 20_000;
const maxShutdownDelaySeconds = 600;

/** Throws HubOptionError. Files are only read later. */
export function resolveServingOptions(flags: ServingFlags, dataDirectory: string): ServingOptions {
  return {
    limits: {
      maxRequestsInflight: parseCount('--max-requests-inflight', flags.maxRequestsInflight, {
        fallback: defaultFlowLimits.maxRequestsInflight,
        least: 1,
      }),
      maxWatches: parseCount('--max-watches', flags.maxWatches, {
        fallback: defaultFlowLimits.maxWatches,
        least: 2,
      }),
    },
    maxConnections: parseCount('--max-connections', flags.maxConnections, {
      fallback: defaultMaxConnections,
      least: 1,
    }),
    maxObjectsPerKind: parseCount('--max-objects-per-kind', flags.maxObjectsPerKind, {
      fallback: defaultMaxObjectsPerKind,
      least: 1,
    }),
    shutdownDelayMs: parseDelay(flags.shutdownDelay ?? '0s') * 1000,
    audit: auditOptions(flags, dataDirectory),
  };
}

function auditOptions(flags: ServingFlags, dataDirectory: string): AuditFileOptions | undefined {
  const { auditLogPath, auditPolicyFile } = flags;
  if (auditLogPath === '') throw new HubOptionError('--audit-log-path must be a file, - or none');
  if (auditLogPath === 'none') {
    if (auditPolicyFile === undefined) return undefined;
    throw new HubOptionError('--audit-policy-file says what to record, but --audit-log-path is none');
  }
  const path = auditLogPath ?? resolve(dataDirectory, 'audit.log');
  return {
    path: path === '-' ? path : resolve(path),
    policyFile: auditPolicyFile === undefined ? undefined : resolve(auditPolicyFile),
    maxBytes:
      parseCount('--audit-log-maxsize', flags.auditLogMaxsize, { fallback: 64, least: 0 }) * 1024 ** 2,
    maxBackups: parseCount('--audit-log-maxbackup', flags.auditLogMaxbackup, { fallback: 3, least: 0 }),
  };
}

function parseCount(
  flag: string,
  text: string | undefined,
  { fallback, least }: { fallback: number; least: number },
): number {
  if (text === undefined) return fallback;
  const count = Number(text);
  if (!/^\d{1,7}$/.test(text) || count < least) {
    throw new HubOptionError(`${flag} must be a whole number from ${least} to 9999999, not "${text}"`);
  }
  return count;
}

function parseDelay(text: string): number {
  if (text === '0' || text === '0s') return 0;
  const seconds = parseDuration(text);
  if (seconds === undefined) throw new HubOptionError(`--shutdown-delay ${durationHint}, not "${text}"`);
  if (seconds > maxShutdownDelaySeconds) {
    throw new HubOptionError(`--shutdown-delay must be at most 10m, not "${text}"`);
  }
  return seconds;
}
