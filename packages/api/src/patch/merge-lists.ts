import { badRequest } from '../status-error.ts';
import { fieldOf, isObject, type JsonObject } from '../json-value.ts';

export interface ListMerge {
  /** Field that identifies an item; `undefined`: items are scalars and identify themselves. */
  readonly key: string | undefined;
  readonly merge: (item: JsonObject, change: JsonObject) => JsonObject;
}

/** Strategic merge of two lists with an identity. Items of the patch come in its order. */
export function mergeLists(
  present: readonly unknown[],
  patch: readonly unknown[],
  { key, merge }: ListMerge,
): unknown[] {
  checkSameTypes([...present, ...patch]);
  if (![...present, ...patch].some(isObject)) {
    const order = { key: undefined, order: patch, serverOrder: present };
    return orderElements([...new Set([...present, ...patch])], order);
  }
  if (key === undefined) throw badRequest('cannot merge lists of objects without a merge key');
  const { kept, changes, isReplaced } = obeyItemDirectives(present, patch, key);
  if (isReplaced) return changes;
  const merged = new Map<unknown, unknown>(kept.map((item) => [identify(item, key), item]));
  for (const change of changes) {
    const identity = identify(change, key);
    const item = merged.get(identity);
    merged.set(identity, isObject(item) ? merge(item, change) : change);
  }
  return orderElements([...merged.values()], { key, order: changes, serverOrder: kept });
}

/** `$patch: delete` removes the item that has the key, `$patch: replace` in any item the whole list. */
function obeyItemDirectives(present: readonly unknown[], patch: readonly unknown[], key: string) {
  const changes: JsonObject[] = [];
  const gone = new Set<unknown>();
  let isReplaced = false;
  for (const item of patch as JsonObject[]) {
    const directive = item['$patch'];
    if (directive === undefined) changes.push(item);
    else if (directive === 'delete') gone.add(identify(item, key));
    else if (directive === 'replace') isReplaced = true;
    else throw badRequest(`unknown patch type: ${JSON.stringify(directive)} in a list`);
  }
  if (!isReplaced) for (const change of changes) identify(change, key);
  return { kept: present.filter((item) => !gone.has(identify(item, key))), changes, isReplaced };
}

export interface ElementOrder {
  readonly key: string | undefined;
  /** Items that the order names come in it. */
  readonly order: readonly unknown[];
  /** Others come as here; between items of both kinds it decides too, where it knows both. */
  readonly serverOrder: readonly unknown[];
}

export function orderElements(
  items: readonly unknown[],
  { key, order, serverOrder }: ElementOrder,
): unknown[] {
  const wanted = placesOf(order, key);
  const former = placesOf(serverOrder, key);
  const byPlace = (places: ReadonlyMap<unknown, number>) => (a: unknown, b: unknown) =>
    (places.get(identify(a, key)) ?? 0) - (places.get(identify(b, key)) ?? 0);
  const named = items.filter((item) => wanted.has(identify(item, key))).sort(byPlace(wanted));
  const others = items.filter((item) => !wanted.has(identify(item, key))).sort(byPlace(former));
  const result: unknown[] = [];
  let n = 0;
  for (const other of others) {
    const place = former.get(identify(other, key));
    while (n < named.length) {
      const placeOfNamed = former.get(identify(named[n], key));
      if (place !== undefined && placeOfNamed !== undefined && place < placeOfNamed) break;
      result.push(named[n]);
      n++;
    }
    result.push(other);
  }
  return [...result, ...named.slice(n)];
}

function placesOf(items: readonly unknown[], key: string | undefined): Map<unknown, number> {
  const places = new Map<unknown, number>();
  for (const [place, item] of items.entries()) {
    const identity = identify(item, key);
    if (!places.has(identity)) places.set(identity, place);
  }
  return places;
}

/** Refuses an order that does not name the items of the patch in the order in which they stand there. */
export function checkElementOrder(
  patch: readonly unknown[],
  order: readonly unknown[],
  key: string | undefined,
): void {
  const items = patch.filter((item) => !isObject(item) || item['$patch'] === undefined);
  if (order.length === 0 || items.length === 0) return;
  let place = 0;
  for (const named of order) {
    if (place < items.length && identify(items[place], key) === identify(named, key)) place++;
  }
  if (place < items.length) throw badRequest("the order in patch list doesn't match $setElementOrder list");
}

function identify(item: unknown, key: string | undefined): unknown {
  if (key === undefined) return item;
  const identity = isObject(item) ? fieldOf(item, key) : undefined;
  if (identity === undefined) throw badRequest(`an item does not contain declared merge key: ${key}`);
  return identity;
}

function checkSameTypes(items: readonly unknown[]): void {
  const types = new Set(items.map((item) => (item === null ? 'null' : typeof item)));
  if (types.size > 1) throw badRequest('list element types are not identical');
  if (items.some(Array.isArray)) throw badRequest('lists of lists are not supported');
}
