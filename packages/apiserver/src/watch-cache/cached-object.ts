import type { KubeObject } from '@selvedge/api';
import type { StoredObject } from '@selvedge/store';
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { wireHead, wireText } from '../registry/object-codec.ts';
import type { Resource } from '../registry/resource-catalog.ts';

/** Texts from this length on, in bytes, are kept packed: a Machine with the inventory of a server becomes a tenth, for 0.1 ms each way. */
const packedFrom = 16 * 1024;

/**
 * One state of one object, kept as the JSON text that clients get and not as a tree: small, and ready to be sent.
 * Never changes.
 */
export class CachedObject {
  readonly namespace: string;
  readonly name: string;
  readonly revision: number;
  /** Length of the text, in bytes. */
  readonly length: number;
  /** The text, or the packed text. */
  readonly #kept: Buffer;
  readonly #isPacked: boolean;
  #labels: KubeObject['metadata']['labels'] | null = null;

  /** `kept` is the text, or the packed text when it is shorter than `length`. */
  constructor(state: State, kept: Buffer, length: number = kept.length) {
    this.namespace = state.namespace;
    this.name = state.name;
    this.revision = state.revision;
    this.length = length;
    this.#kept = kept;
    this.#isPacked = kept.length !== length;
  }

  /** For one answer. */
  static of(resource: Resource, stored: StoredObject): CachedObject {
    const text = Buffer.from(wireText(resource, stored));
    return new CachedObject(stateOf(stored), text);
  }

  /** To be kept. */
  static toKeep(resource: Resource, stored: StoredObject): CachedObject {
    const text = ownBytes(wireText(resource, stored));
    return new CachedObject(stateOf(stored), pack(text), text.length);
  }

  /** UTF-8, with `metadata.resourceVersion`, without a line break. Not to be changed. */
  get json(): Buffer {
    return this.#isPacked ? inflateRawSync(this.#kept, { chunkSize: this.length }) : this.#kept;
  }

  /** Memory that it takes, in bytes. */
  get keptBytes(): number {
    return this.#kept.length;
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
    const { namespace, name } = this;
    return new CachedObject({ namespace, name, revision }, json);
  }
}

interface State {
  readonly namespace: string;
  readonly name: string;
  readonly revision: number;
}

const stateOf = ({ key, revision }: StoredObject): State => ({
  namespace: key.namespace,
  name: key.name,
  revision,
});

/** The text itself when it is short, or does not get shorter. */
function pack(text: Buffer): Buffer {
  if (text.length < packedFrom) return text;
  const packed = deflateRawSync(text, { level: 1 });
  if (packed.length >= text.length) return text;
  // Not a piece of a buffer of zlib, which would be kept whole for it.
  const own = Buffer.allocUnsafeSlow(packed.length);
  packed.copy(own);
  return own;
}

/** Not from Node's pool, whose slabs would be kept whole for one object in them. */
function ownBytes(text: string): Buffer {
  const bytes = Buffer.allocUnsafeSlow(Buffer.byteLength(text));
  bytes.write(text);
  return bytes;
}
