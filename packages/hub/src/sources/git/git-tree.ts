import { SourceError } from '../source-reading.ts';

/** One line of a commit's tree that is no folder. */
export interface TreeEntry {
  readonly kind: 'file' | 'link' | 'submodule';
  /** Of its content; of a submodule its commit. */
  readonly oid: string;
  /** Relative to the root of the repository, with `/`. */
  readonly path: string;
}

const kinds: Readonly<Record<string, TreeEntry['kind']>> = {
  '100644': 'file',
  '100664': 'file',
  '100755': 'file',
  '120000': 'link',
  '160000': 'submodule',
};
const maxPathLength = 1000;

/** Reads what `ls-tree -r -z` writes, as it comes: a tree of a few kilobytes can have millions of entries. */
export class TreeParser {
  readonly entries: TreeEntry[] = [];
  readonly #maxEntries: number;
  #rest: Buffer = Buffer.alloc(0);

  constructor(maxEntries: number) {
    this.#maxEntries = maxEntries;
  }

  push(chunk: Buffer): void {
    let from = 0;
    const data = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    for (let end = data.indexOf(0); end !== -1; end = data.indexOf(0, from)) {
      this.#add(data.subarray(from, end));
      from = end + 1;
    }
    this.#rest = data.subarray(from);
    if (this.#rest.length > 64 * 1024) throw tooDeep();
  }

  #add(line: Buffer): void {
    const tab = line.indexOf(9);
    const [mode = '', , oid = ''] = line.subarray(0, tab).toString('latin1').split(' ');
    const path = line.subarray(tab + 1).toString('utf8');
    const kind = kinds[mode];
    if (kind === undefined || path.includes('\ufffd')) return;
    if (path.length > maxPathLength) throw tooDeep();
    if (this.entries.length >= this.#maxEntries) {
      throw new SourceError(
        'LimitExceeded',
        `More than ${this.#maxEntries} files are there: name a smaller path.`,
      );
    }
    checkPath(path);
    this.entries.push({ kind, oid, path });
  }
}

/** git itself writes no such names; what a server makes up may have them. */
function checkPath(path: string): void {
  const isHostile = path
    .split('/')
    .some((part) => ['', '.', '..'].includes(part) || part.toLowerCase() === '.git');
  if (isHostile) {
    throw new SourceError(
      'RenderFailed',
      `The commit holds a file by the name ${JSON.stringify(path)}, which is not taken.`,
    );
  }
}

function tooDeep(): SourceError {
  return new SourceError(
    'LimitExceeded',
    `The commit holds a path of more than ${maxPathLength} characters.`,
  );
}
