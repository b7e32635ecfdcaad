import type { Clock, KeyedMutex, Logger } from '@selvedge/api';
import type { ObjectStore } from '@selvedge/store';
import type { UserInfo } from '../authentication/user-info.ts';
import type { Authorizer } from '../authorization/authorizer.ts';
import type { ServerMetrics } from '../metrics/server-metrics.ts';
import type { NamespaceGate } from '../admission/namespace-gate.ts';
import type { WatchCache } from '../watch-cache/watch-cache.ts';
import type { ObjectTotals } from '../quota/object-totals.ts';
import type { QuotaLedger } from '../quota/quota-ledger.ts';
import type { ResourceCatalog } from './resource-catalog.ts';

/** What every verb works on. */
export interface Registry {
  readonly catalog: ResourceCatalog;
  readonly store: ObjectStore;
  /** The store in memory: what lists and watches are answered from. */
  readonly cache: WatchCache;
  readonly namespaces: NamespaceGate;
  /** By resource and name of an object: changes that make sense on any state take turns instead of racing. */
  readonly turns: KeyedMutex;
  readonly authorizer: Authorizer;
  /** Absent: ResourceQuota is not served. */
  readonly quotas: QuotaLedger | undefined;
  readonly totals: ObjectTotals;
  readonly metrics: ServerMetrics;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Fires when the server closes: ends watches. */
  readonly closing: AbortSignal;
}

export type FieldValidation = 'Strict' | 'Warn' | 'Ignore';

/** Options that all writes share. */
export interface WriteOptions {
  /** Whose write it is. */
  readonly user: UserInfo;
  /** Everything is checked and answered as if, nothing is stored. */
  readonly dryRun: boolean;
  /** Owner of the fields that are written. */
  readonly fieldManager: string;
  readonly fieldValidation: FieldValidation;
  /** Tells the client something that is no reason to refuse. */
  readonly warn: (message: string) => void;
}
