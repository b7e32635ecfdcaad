const directoryMode = 0o040755;
const fileMode = 0o100000;
const linkMode = 0o120777;
const characterMode = 0o020000;

/** One entry: its mode as Unix has it (with the kind), and the bytes, or where a link points to. */
export interface TreeEntry {
  readonly mode: number;
  readonly content: Uint8Array;
  /** Major and minor number of a device node. */
  readonly device?: readonly [number, number];
}

/** A file system in memory. Paths are relative (`usr/bin/sh`); parents are made as they are needed. */
export class FileTree {
  readonly #entries = new Map<string, TreeEntry>();

  addFile(path: string, content: Uint8Array | string, mode = 0o644): void {
    const bytes = typeof content === 'string' ? Buffer.from(content) : content;
    this.#add(path, { mode: fileMode | mode, content: bytes });
  }

  addLink(path: string, target: string): void {
    this.#add(path, { mode: linkMode, content: Buffer.from(target) });
  }

  addDirectory(path: string): void {
    if (!this.#entries.has(path)) this.#add(path, { mode: directoryMode, content: Buffer.alloc(0) });
  }

  addCharacterDevice(path: string, device: readonly [number, number]): void {
    this.#add(path, { mode: characterMode | 0o600, content: Buffer.alloc(0), device });
  }

  has(path: string): boolean {
    return this.#entries.has(path);
  }

  /** Parents before what is in them. */
  entries(): [string, TreeEntry][] {
    return [...this.#entries].sort(([a], [b]) => (a < b ? -1 : 1));
  }

  #add(path: string, entry: TreeEntry): void {
    if (path.startsWith('/') || path.split('/').some((part) => part === '' || part === '..'))
      throw new Error(`"${path}" is no path within the tree`);
    const slash = path.lastIndexOf('/');
    if (slash > 0) this.addDirectory(path.slice(0, slash));
    this.#entries.set(path, entry);
  }
}
