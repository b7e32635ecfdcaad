/** A kernel module as far as its `.modinfo` section: the smallest ELF that says something of itself. */
export function madeUpModule(info: readonly string[]): Buffer {
  const names = Buffer.from('\0.modinfo\0.shstrtab\0');
  const data = Buffer.from(info.map((entry) => `${entry}\0`).join(''));
  const header = Buffer.alloc(64);
  header.writeUInt32BE(0x7f454c46, 0);
  header[4] = 2; // 64 bit
  header[5] = 1; // little-endian
  header.writeBigUInt64LE(BigInt(64 + data.length + names.length), 40);
  header.writeUInt16LE(64, 58);
  header.writeUInt16LE(3, 60);
  header.writeUInt16LE(2, 62);
  const sections = Buffer.concat([
    Buffer.alloc(64),
    section({ name: 1, offset: 64, size: data.length }),
    section({ name: 10, offset: 64 + data.length, size: names.length }),
  ]);
  return Buffer.concat([header, data, names, sections]);
}

function section({ name, offset, size }: { name: number; offset: number; size: number }): Buffer {
  const bytes = Buffer.alloc(64);
  bytes.writeUInt32LE(name, 0);
  bytes.writeUInt32LE(1, 4);
  bytes.writeBigUInt64LE(BigInt(offset), 24);
  bytes.writeBigUInt64LE(BigInt(size), 32);
  return bytes;
}
