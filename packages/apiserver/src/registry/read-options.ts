import { badRequest, type FieldError, invalid, StatusError } from '@selvedge/api';
import { type ContinueToken, readContinueToken } from './continue-token.ts';
import { findRevision } from './object-codec.ts';

/** What of the parameters of a read says how new it has to be. */
export interface FreshnessQuery {
  readonly limit?: number | undefined;
  readonly continue?: string | undefined;
  readonly resourceVersion?: string | undefined;
  readonly resourceVersionMatch?: string | undefined;
  readonly sendInitialEvents?: boolean | undefined;
}

/** How new an answer has to be. */
export type Freshness =
  /** As new as everything that was acknowledged before. */
  | { readonly kind: 'newest' }
  | { readonly kind: 'any' }
  | { readonly kind: 'notOlderThan'; readonly revision: number }
  | { readonly kind: 'exact'; readonly revision: number }
  | { readonly kind: 'continued'; readonly token: ContinueToken };

/** As the Kubernetes API defines resourceVersion, resourceVersionMatch and continue of a list together. */
export function listFreshness(query: FreshnessQuery): Freshness {
  const { resourceVersion: version, resourceVersionMatch: match, limit } = query;
  refuse(faultsOfList(query));
  if (query.continue) {
    if (version && version !== '0') {
      throw badRequest('specifying resource version is not allowed when using continue');
    }
    return { kind: 'continued', token: readContinueToken(query.continue) };
  }
  if (!version) return { kind: 'newest' };
  const revision = revisionOf(version);
  if (match === 'Exact') return { kind: 'exact', revision };
  if (revision === 0) return { kind: 'any' };
  // Without a match, a limit asks for that very snapshot: so it was before there was a match.
  if (match === undefined && limit) return { kind: 'exact', revision };
  return { kind: 'notOlderThan', revision };
}

/** A single object; the only rule for it is "not older than". */
export function getFreshness(version: string | undefined): Freshness {
  if (!version) return { kind: 'newest' };
  const revision = revisionOf(version);
  return revision === 0 ? { kind: 'any' } : { kind: 'notOlderThan', revision };
}

export interface WatchStart {
  /** The present objects come first, as new as this; absent: only changes. */
  readonly initial: Freshness | undefined;
  /** Changes above this; absent: above what the initial objects are, or above now. */
  readonly fromRevision: number | undefined;
}

/** As the Kubernetes API defines where a watch begins. */
export function watchStart(query: FreshnessQuery): WatchStart {
  const { resourceVersion: version, sendInitialEvents } = query;
  refuse(faultsOfWatch(query));
  const revision = version ? revisionOf(version) : undefined;
  if (sendInitialEvents === true || (sendInitialEvents === undefined && !revision)) {
    const initial = getFreshness(version);
    return { initial, fromRevision: undefined };
  }
  return { initial: undefined, fromRevision: revision || undefined };
}

function revisionOf(version: string): number {
  const revision = findRevision(version);
  if (revision === undefined) throw badRequest(`Invalid value: "${version}": is not a resource version`);
  return revision;
}

function faultsOfList(query: FreshnessQuery): FieldError[] {
  const { resourceVersion: version, resourceVersionMatch: match, sendInitialEvents } = query;
  const faults: FieldError[] = [];
  if (match) {
    if (!version) faults.push(forbidden('is forbidden unless resourceVersion is provided'));
    if (query.continue) faults.push(forbidden('is forbidden when continue is provided'));
    if (match !== 'Exact' && match !== 'NotOlderThan')
      faults.push(unsupported(match, ['Exact', 'NotOlderThan']));
    if (match === 'Exact' && version === '0') {
      faults.push(forbidden('"exact" is forbidden for resourceVersion "0"'));
    }
  }
  if (sendInitialEvents !== undefined) {
    faults.push(fault('FieldValueForbidden', 'sendInitialEvents', 'Forbidden: is forbidden for list'));
  }
  return faults;
}

function faultsOfWatch({
  resourceVersionMatch: match,
  sendInitialEvents,
  continue: next,
}: FreshnessQuery): FieldError[] {
  const faults: FieldError[] = [];
  if (sendInitialEvents !== undefined && match !== 'NotOlderThan') {
    faults.push(forbidden('sendInitialEvents requires setting resourceVersionMatch to NotOlderThan', true));
  }
  if (match) {
    if (sendInitialEvents === undefined) {
      faults.push(forbidden('is forbidden for watch unless sendInitialEvents is provided'));
    }
    if (match !== 'NotOlderThan') faults.push(unsupported(match, ['NotOlderThan']));
    if (next) faults.push(forbidden('is forbidden when continue is provided'));
  }
  return faults;
}

function forbidden(detail: string, isWhole = false): FieldError {
  const text = isWhole ? detail : `resourceVersionMatch ${detail}`;
  return fault('FieldValueForbidden', 'resourceVersionMatch', `Forbidden: ${text}`);
}

function unsupported(value: string, known: readonly string[]): FieldError {
  const supported = known.map((k) => JSON.stringify(k)).join(', ');
  const text = `Unsupported value: ${JSON.stringify(value)}: supported values: ${supported}`;
  return fault('FieldValueNotSupported', 'resourceVersionMatch', text);
}

const fault = (reason: FieldError['reason'], field: string, message: string): FieldError => ({
  reason,
  field,
  message,
});

function refuse(faults: readonly FieldError[]): void {
  if (faults.length > 0) throw invalid({ group: 'meta.k8s.io', kind: 'ListOptions' }, '', faults);
}

/** The client knows of a revision that is not there yet: it shall ask again. */
export function tooLargeRevision(revision: number, current: number): StatusError {
  const message = 'Too large resource version';
  return new StatusError('Timeout', `Timeout: ${message}: ${revision}, current: ${current}`, {
    details: {
      causes: [{ reason: 'ResourceVersionTooLarge', field: '', message }],
      retryAfterSeconds: 1,
    },
  });
}
