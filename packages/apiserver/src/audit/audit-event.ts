import type { UserInfo } from '../authentication/user-info.ts';
import type { AuditLevel, AuditStage } from './audit-policy.ts';

/** `audit.k8s.io/v1 Event`: one line of the audit log. */
export interface AuditEvent {
  readonly kind: 'Event';
  readonly apiVersion: 'audit.k8s.io/v1';
  readonly level: AuditLevel;
  readonly auditID: string;
  readonly stage: AuditStage;
  readonly requestURI: string;
  readonly verb: string;
  readonly user: AuditUser;
  readonly impersonatedUser?: AuditUser;
  readonly sourceIPs?: readonly string[];
  readonly userAgent?: string;
  readonly objectRef?: ObjectReference;
  readonly responseStatus?: ResponseStatus;
  readonly requestObject?: unknown;
  readonly responseObject?: unknown;
  readonly requestReceivedTimestamp: string;
  readonly stageTimestamp: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface AuditUser {
  readonly username?: string;
  readonly uid?: string;
  readonly groups?: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

export interface ObjectReference {
  readonly resource: string;
  readonly namespace?: string;
  readonly name?: string;
  readonly uid?: string;
  readonly apiGroup?: string;
  readonly apiVersion?: string;
  readonly subresource?: string;
}

export interface ResponseStatus {
  readonly metadata: Record<string, never>;
  readonly status?: 'Failure';
  readonly message?: string;
  readonly reason?: string;
  readonly code: number;
}

export function auditUser({ name, uid, groups, extra }: UserInfo): AuditUser {
  return {
    username: name,
    ...(uid === undefined ? {} : { uid }),
    groups,
    ...(extra === undefined ? {} : { extra }),
  };
}

/** `metav1.MicroTime`; our clock gives milliseconds. */
export const microTime = (time: Date): string => time.toISOString().replace('Z', '000Z');

/** Parameters that carry credentials in one protocol or another. */
const secretParameter =
  /token|secret|password|passwd|credential|authorization|api[-_]?key|signature|^code$|^sig$/i;
const maxUriLength = 4096;

/** The URI as it was sent, but for values of parameters that look like credentials. */
export function auditUri(url: string): string {
  const mark = url.indexOf('?');
  if (mark < 0) return url.slice(0, maxUriLength);
  const query = url
    .slice(mark + 1)
    .split('&')
    .map((pair) => {
      const equals = pair.indexOf('=');
      const name = equals < 0 ? pair : pair.slice(0, equals);
      return equals >= 0 && secretParameter.test(decoded(name)) ? `${name}=REDACTED` : pair;
    })
    .join('&');
  return `${url.slice(0, mark)}?${query}`.slice(0, maxUriLength);
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** A copy without `metadata.managedFields`, also in the items of a list. */
export function withoutManagedFields(value: unknown): unknown {
  if (!isRecord(value)) return value;
  const copy: Record<string, unknown> = { ...value };
  if (isRecord(copy['metadata'])) {
    const { managedFields: _, ...metadata } = copy['metadata'];
    copy['metadata'] = metadata;
  }
  if (Array.isArray(copy['items'])) copy['items'] = copy['items'].map(withoutManagedFields);
  return copy;
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
