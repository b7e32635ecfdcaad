import { badRequest, StatusError } from '../status-error.ts';
import { maxDepth, maxObjectBytes } from '../object-limits.ts';
import { copyJson, fieldOf, isDeeperThan, isObject, isSameJson, type JsonObject } from '../json-value.ts';
import { findPlace, isThere, parsePointer, type Place, valueAt } from './json-pointer.ts';

/** As Kubernetes: a patch is not a program. */
const maxOperations = 10_000;

/** RFC 6902. Throws `BadRequest` for what is no patch, `Invalid` for a patch that does not fit the object. */
export function applyJsonPatch<T>(target: T, patch: unknown): T {
  if (!Array.isArray(patch)) throw badRequest('a JSON patch must be a list of operations');
  if (patch.length > maxOperations) {
    throw tooMuch(`a JSON patch may have at most ${maxOperations} operations`);
  }
  const patcher = new Patcher(copyJson(target));
  for (const [index, operation] of copyJson<unknown[]>(patch).entries()) {
    const fault = patcher.apply(operation);
    if (fault === undefined) continue;
    const which = `operation ${index} ${describe(operation)}`;
    throw new StatusError('Invalid', `the JSON patch cannot be applied: ${which}: ${fault}`);
  }
  return patcher.document as T;
}

/** What is wrong with an operation, in words; absent: it was done. */
type Fault = string | undefined;

class Patcher {
  document: unknown;
  /** Few copies can make much of little: each may double what the one before made. */
  #copiedBytes = 0;

  constructor(document: unknown) {
    this.document = document;
  }

  apply(operation: unknown): Fault {
    if (!isObject(operation)) return 'must be an object with op and path';
    const path = tokensOf(operation, 'path');
    if (!path) return 'path must be a JSON pointer, as in "/spec/paused"';
    const place = findPlace(this.document, path);
    if (!place) return 'path leads nowhere: what it stands in does not exist';
    switch (operation['op']) {
      case 'add':
      case 'replace':
      case 'test':
        return this.#withValue(operation, path, place);
      case 'remove':
        return this.#remove(place);
      case 'move':
      case 'copy':
        return this.#fromElsewhere(operation, path);
      default:
        return 'op must be add, remove, replace, move, copy or test';
    }
  }

  #withValue(operation: JsonObject, path: readonly string[], place: Place): Fault {
    // As in Kubernetes: no value is null.
    const { value = null } = operation;
    if (operation['op'] === 'add') return this.#add(path, place, value);
    // As in Kubernetes: a field that is not there can be replaced, and is null.
    if (place.kind === 'item' && !isThere(place)) return 'there is nothing at path';
    if (operation['op'] === 'test') {
      return isSameJson(valueAt(this.document, place) ?? null, value)
        ? undefined
        : 'the value at path is another';
    }
    if (isTooDeep(path, value)) return tooDeep;
    this.#set(place, value);
    return undefined;
  }

  #add(path: readonly string[], place: Place, value: unknown): Fault {
    if (isTooDeep(path, value)) return tooDeep;
    if (place.kind === 'item') place.parent.splice(place.index, 0, value);
    else this.#set(place, value);
    return undefined;
  }

  #remove(place: Place): Fault {
    if (!isThere(place)) return 'there is nothing at path';
    if (place.kind === 'root') this.document = null;
    else if (place.kind === 'field') delete place.parent[place.name];
    else place.parent.splice(place.index, 1);
    return undefined;
  }

  #fromElsewhere(operation: JsonObject, path: readonly string[]): Fault {
    const from = tokensOf(operation, 'from');
    const source = from && findPlace(this.document, from);
    const isCopy = operation['op'] === 'copy';
    // As in Kubernetes: a field that is not there can be copied, and is null.
    if (!from || !source || !(isThere(source) || (isCopy && source.kind === 'field'))) {
      return 'there is nothing at from';
    }
    let value: unknown = valueAt(this.document, source) ?? null;
    // Before anything changes: what follows cannot fail half done.
    if (isTooDeep(path, value)) return tooDeep;
    if (isCopy) value = this.#copyOf(value);
    else if (from.length < path.length && from.every((token, i) => token === path[i])) {
      return 'cannot be moved into itself';
    } else this.#remove(source);
    // Looked for anew: taking an item out of a list moves those behind it.
    const place = findPlace(this.document, path);
    return place ? this.#add(path, place, value) : 'path leads nowhere: what it stands in does not exist';
  }

  #copyOf(value: unknown): unknown {
    const text = JSON.stringify(value);
    this.#copiedBytes += text.length;
    if (this.#copiedBytes > maxObjectBytes) {
      throw tooMuch(`the copies of a JSON patch may have at most ${maxObjectBytes} bytes together`);
    }
    return JSON.parse(text);
  }

  #set(place: Place, value: unknown): void {
    if (place.kind === 'root') this.document = value;
    else if (place.kind === 'field') place.parent[place.name] = value;
    else place.parent[place.index] = value;
  }
}

const tooDeep = `the object would be nested more than ${maxDepth} levels deep`;
const isTooDeep = (path: readonly string[], value: unknown) => isDeeperThan(value, maxDepth - path.length);
const tooMuch = (message: string) => new StatusError('RequestEntityTooLarge', message);

function tokensOf(operation: JsonObject, field: 'path' | 'from'): string[] | undefined {
  const pointer = fieldOf(operation, field);
  return typeof pointer === 'string' ? parsePointer(pointer) : undefined;
}

/** Without the value: it may be a secret. */
function describe(operation: unknown): string {
  if (!isObject(operation)) return JSON.stringify(typeof operation);
  const { op, path } = operation;
  return JSON.stringify({ op, path }).slice(0, 300);
}
