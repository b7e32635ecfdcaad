import type { DeliveryRow, Heartbeat, RolloutMember, SiteKey, SiteSettings } from './fleet-store.ts';
import type { StoredObject } from './object-store.ts';

/**
 * One piece of a store's contents, the same for every engine: what `Store.dump` gives and a restore takes. A dump
 * begins with `head` and ends with `end`; between them the order is free.
 */
export type StoreRecord =
  | { readonly type: 'head'; readonly formatVersion: 1; readonly revision: number }
  | { readonly type: 'object'; readonly object: StoredObject }
  | ({ readonly type: 'site'; readonly site: string; readonly epoch: number } & SiteSettings)
  | { readonly type: 'siteKey'; readonly key: SiteKey }
  | { readonly type: 'delivery'; readonly row: DeliveryRow }
  | { readonly type: 'heartbeat'; readonly heartbeat: Heartbeat }
  | { readonly type: 'rolloutMember'; readonly rolloutUid: string; readonly member: RolloutMember }
  | { readonly type: 'blob'; readonly digest: string; readonly bytes: Uint8Array }
  /** Counts what came before, so that a cut-off dump is known as such. */
  | { readonly type: 'end'; readonly records: number };
