import type { KubeObject } from '@selvedge/api';
import type { StoredObject } from '@selvedge/store';
import { wireHead, wireText } from '../registry/object-codec.ts';
import type { Resource } from '../registry/resource-catalog.ts';

/**
 * One state of one object, kept as the JSON text that clients get and not as a tree: small, and ready to be sent.
 * Never changes.
 */
export class CachedObject {
  readonly namespace: string;
  readonly name: string;
  readonly revision: number;
  /** UTF-8, with `metadata.resourceVersion`, without a line break. */
  readonly json: Buffer;
  #labels: KubeObject['metadata']['labels'] | null = null;

  constructor(place: { namespace: string; name: string }, revision: number, json: Buffer) {
    this.namespace = place.namespace;
    this.name = place.name;
    this.revision = revision;
    this.json = json;
  }

  static of(resource: Resource, stored: StoredObject): CachedObject {
    return new CachedObject(stored.key, stored.revision, ownBytes(wireText(resource, stored)));
  }

  /** A fresh object each time; the caller may change it. */
  parse(): KubeObject {
    return JSON.parse(this.json.toString()) as KubeObject;
  }

  /** Parsed when they are first asked for, and kept: selectors ask again and again. */
  get labels(): KubeObject['metadata']['labels'] {
    if (this.#labels === null) this.#labels = this.parse().metadata.labels;
    return this.#labels;
  }

  /** The same state under another revision: how a watcher is told of the last state of what left its selection. */
  at(resource: Resource, revision: number): CachedObject {
    const head = Buffer.byteLength(`${wireHead(resource)}"resourceVersion":"${this.revision}"`);
    const json = Buffer.concat([
      Buffer.from(`${wireHead(resource)}"resourceVersion":"${revision}"`),
      this.json.subarray(head),
    ]);
    return new CachedObject(this, revision, json);
  }
}

/** Not from Node's pool, whose slabs would be kept whole for one object in them. */
function ownBytes(text: string): Buffer {
  const bytes = Buffer.allocUnsafeSlow(Buffer.byteLength(text));
  bytes.write(text);
  return bytes;
}
