import type { MirrorOrder, MirrorReport } from '@selvedge/api';

/**
 * Reads what applications elsewhere take from this site's cluster (`SitePolicy.mirrors`). Level-based: the last `setOrders` is the
 * whole truth. A read that fails keeps what was read before; it never becomes an empty list.
 */
export interface MirrorReader {
  setOrders(orders: readonly MirrorOrder[]): void;
  /** One for each order, once it was read or found unreadable. `observedTime` by the machine's clock. */
  reports(): readonly MirrorReport[];
  /** Canonical JSON of the manifests with this digest, while it is the newest of that mirror. */
  content(uid: string, digest: string): Uint8Array | undefined;
  /** Called when `reports()` changed in anything but `observedTime`. */
  onChange(listener: () => void): void;
}
