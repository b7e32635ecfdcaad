import type { FileTree } from './file-tree.ts';

/**
 * The tree as an archive in the "newc" format, as the Linux kernel unpacks it into its first root file system (initramfs). The same tree gives the same bytes: entries are
 * sorted, owned by root, and dated to 1970.
 */
export function formatCpio(tree: FileTree): Buffer {
  const parts: Buffer[] = [];
  let inode = 1;
  for (const [path, entry] of tree.entries()) {
    parts.push(member(path, { mode: entry.mode, inode, device: entry.device }, entry.content));
    inode += 1;
  }
  parts.push(member('TRAILER!!!', { mode: 0, inode: 0, device: undefined }, Buffer.alloc(0)));
  return Buffer.concat(parts);
}

interface Header {
  readonly mode: number;
  readonly inode: number;
  readonly device: readonly [number, number] | undefined;
}

function member(path: string, header: Header, content: Uint8Array): Buffer {
  const name = Buffer.from(`${path}\0`);
  const [major, minor] = header.device ?? [0, 0];
  const fields = [
    header.inode,
    header.mode,
    0, // uid
    0, // gid
    1, // links
    0, // time
    content.byteLength,
    0, // device that holds the file
    0,
    major,
    minor,
    name.byteLength,
    0, // checksum, unused by newc
  ];
  const head = Buffer.from(`070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`);
  return Buffer.concat([padded(Buffer.concat([head, name])), padded(content)]);
}

function padded(bytes: Uint8Array): Buffer {
  const rest = bytes.byteLength % 4;
  return rest === 0 ? Buffer.from(bytes) : Buffer.concat([bytes, Buffer.alloc(4 - rest)]);
}
