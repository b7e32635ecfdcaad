import type { Clock, KubeObject } from '@selvedge/api';
import type { VirtualEvent, VirtualSource } from '@selvedge/apiserver';
import type { DeliveryRow } from '@selvedge/store';
import { deliveryName, deliveryObject, parseDeliveryName, presentRow } from './delivery-object.ts';
import type { FleetView } from './fleet-view.ts';

type WatchQuery = Parameters<VirtualSource['watch']>[0];
type WatchEvent = Exclude<VirtualEvent, Progress>;
type Progress = VirtualEvent & { type: 'progress' };

/** Deliveries, made from the fleet store's rows as they are asked for. */
export function deliverySource(view: FleetView): VirtualSource {
  return {
    list: async (namespace) => {
      const { rows, revision } = await view.fleet.listDeliveries(scope(namespace));
      const contact = await view.contacts();
      const objects = [...groupByDelivery(rows).values()].flatMap((group) => {
        const row = presentRow(group);
        return row ? [deliveryObject(row, contact(row.site))] : [];
      });
      return { objects, revision };
    },
    find: async (namespace, name) => {
      const parsed = parseDeliveryName(name);
      if (!parsed) return undefined;
      const { rows } = await view.fleet.listDeliveries({ namespace, ...parsed });
      const row = presentRow(rows);
      return row && deliveryObject(row, (await view.contacts())(row.site));
    },
    watch: (query) => watchDeliveries(view, query),
  };
}

function scope(namespace: string | undefined): { namespace?: string } {
  return namespace === undefined ? {} : { namespace };
}

function groupByDelivery(rows: readonly DeliveryRow[]): Map<string, DeliveryRow[]> {
  return Map.groupBy(rows, (row) => `${row.namespace}/${deliveryName(row)}`);
}

async function* watchDeliveries(view: FleetView, query: WatchQuery): AsyncGenerator<VirtualEvent> {
  const told = new ToldDeliveries(query.fromRevision);
  for await (const row of rowsAfter(view, query)) {
    const event = 'type' in row ? row : await eventOf(view, row, told);
    if (event) yield event;
  }
}

/** After so long without a change, watchers are told how far they have seen. */
const progressMilliseconds = 20_000;

/** Rows that change after the revision, in order, until the signal fires; between them, how far that is. */
async function* rowsAfter(view: FleetView, query: WatchQuery): AsyncGenerator<DeliveryRow | Progress> {
  const { namespace, signal } = query;
  const changes = new RowQueue(signal);
  const unsubscribe = view.fleet.onChange((change) => {
    if (change.kind !== 'delivery') return;
    if (namespace === undefined || change.row.namespace === namespace) changes.push(change.row);
  });
  let last = query.fromRevision;
  try {
    while (!signal.aborted) {
      if (changes.isBehind) {
        // Collecting begins before the look back, so that nothing falls in between.
        changes.collect();
        const past = await view.fleet.listDeliveries({ ...scope(namespace), sinceRevision: last });
        for (const row of past.rows) {
          last = row.revision;
          yield row;
        }
        last = Math.max(last, past.revision);
        yield { type: 'progress', revision: last };
      }
      const row = await changes.take(view.clock);
      if (row === undefined && !changes.isBehind && !signal.aborted) {
        // What is committed up to here has been pushed before this resolves.
        const revision = await view.objects.currentRevision();
        if (changes.isEmpty && revision > last) yield { type: 'progress', revision };
      }
      if (row === undefined || row.revision <= last) continue;
      last = row.revision;
      yield row;
    }
  } finally {
    unsubscribe();
  }
}

async function eventOf(
  view: FleetView,
  changed: DeliveryRow,
  told: ToldDeliveries,
): Promise<WatchEvent | undefined> {
  const { site, namespace, application } = changed;
  const isWanted = changed.phase === 'Wanted' && !changed.deleted;
  const rows = isWanted
    ? [changed]
    : (await view.fleet.listDeliveries({ site, namespace, application })).rows;
  const present = presentRow(rows);
  const contact = (await view.contacts())(site);
  // The event is as new as the change that caused it, so that a watch can go on from there.
  const object = deliveryObject({ ...(present ?? changed), revision: changed.revision }, contact);
  const type = told.note(present, object);
  return type && { type, object };
}

/** What a watcher was told, so that it hears of each coming and going once. */
class ToldDeliveries {
  readonly #fromRevision: number;
  readonly #isPresent = new Map<string, boolean>();

  constructor(fromRevision: number) {
    this.#fromRevision = fromRevision;
  }

  note(present: DeliveryRow | undefined, { metadata }: KubeObject): WatchEvent['type'] | undefined {
    const key = `${metadata.namespace}/${metadata.name}`;
    const was = this.#isPresent.get(key);
    this.#isPresent.set(key, present !== undefined);
    if (present === undefined) return was === false ? undefined : 'DELETED';
    const isNew = was === undefined ? present.createRevision > this.#fromRevision : !was;
    return isNew ? 'ADDED' : 'MODIFIED';
  }
}

/** A watcher that is further behind reads the rows from the store again. */
const maxQueuedRows = 1000;

/** Rows in the order in which they came. Behind at first, and again when there are too many of them. */
class RowQueue {
  #rows: DeliveryRow[] = [];
  #isBehind = true;
  readonly #signal: AbortSignal;
  #wake: (() => void) | undefined;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
    signal.addEventListener('abort', () => this.#wake?.(), { once: true });
  }

  get isBehind(): boolean {
    return this.#isBehind;
  }

  /** Whether all that came was taken. */
  get isEmpty(): boolean {
    return !this.#isBehind && this.#rows.length === 0;
  }

  collect(): void {
    this.#isBehind = false;
  }

  push(row: DeliveryRow): void {
    if (this.#isBehind) return;
    if (this.#rows.length < maxQueuedRows) this.#rows.push(row);
    else {
      this.#rows = [];
      this.#isBehind = true;
    }
    this.#wake?.();
  }

  /** The next one; `undefined` when behind, when none comes for a while, or when the signal has fired. */
  async take(clock: Clock): Promise<DeliveryRow | undefined> {
    const row = this.#rows.shift();
    if (row !== undefined || this.#isBehind || this.#signal.aborted) return row;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    const woken = new AbortController();
    await Promise.race([
      promise,
      clock.sleep(progressMilliseconds * (0.8 + 0.4 * Math.random()), woken.signal),
    ]);
    woken.abort('woken');
    return this.#rows.shift();
  }
}
