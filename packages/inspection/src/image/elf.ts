/**
 * As much of ELF (64 bit, little-endian) as is needed to collect programs and kernel modules: which libraries a program wants, and what a kernel module says of itself.
 */
export interface ElfFacts {
  /** Names of shared libraries: `libc.so.6`. */
  readonly libraries: readonly string[];
  /** Program loader: `/lib64/ld-linux-x86-64.so.2`; absent for static programs and libraries. */
  readonly interpreter?: string;
  /** `.modinfo` of a kernel module: `[key, value]`, in order. */
  readonly moduleInfo: readonly (readonly [string, string])[];
}

const dynamicSection = 6;
const neededTag = 1n;

/** @returns undefined when these bytes are no 64-bit little-endian ELF file. */
export function parseElf(bytes: Buffer): ElfFacts | undefined {
  if (bytes.length < 64 || bytes.readUInt32BE(0) !== 0x7f454c46 || bytes[4] !== 2 || bytes[5] !== 1) {
    return undefined;
  }
  const sections = readSections(bytes);
  const interpreter = sections.find(({ name }) => name === '.interp');
  const moduleInfo = sections.find(({ name }) => name === '.modinfo');
  return {
    libraries: neededLibraries(sections),
    ...(interpreter && { interpreter: stringAt(interpreter.data, 0) }),
    moduleInfo: moduleInfo === undefined ? [] : keyValues(moduleInfo.data),
  };
}

interface Section {
  readonly name: string;
  readonly kind: number;
  readonly link: number;
  readonly data: Buffer;
}

function readSections(bytes: Buffer): Section[] {
  const tableOffset = Number(bytes.readBigUInt64LE(40));
  const entrySize = bytes.readUInt16LE(58);
  const count = bytes.readUInt16LE(60);
  const namesIndex = bytes.readUInt16LE(62);
  const raw = Array.from({ length: count }, (_, index) => {
    const at = tableOffset + index * entrySize;
    const kind = bytes.readUInt32LE(at + 4);
    const offset = Number(bytes.readBigUInt64LE(at + 24));
    const size = Number(bytes.readBigUInt64LE(at + 32));
    const hasBytes = kind !== 8; // .bss takes no room in the file
    return {
      nameOffset: bytes.readUInt32LE(at),
      kind,
      link: bytes.readUInt32LE(at + 40),
      data: hasBytes ? bytes.subarray(offset, offset + size) : Buffer.alloc(0),
    };
  });
  const names = raw[namesIndex]?.data ?? Buffer.alloc(0);
  return raw.map(({ nameOffset, kind, link, data }) => ({
    name: stringAt(names, nameOffset),
    kind,
    link,
    data,
  }));
}

function neededLibraries(sections: readonly Section[]): string[] {
  const dynamic = sections.find(({ kind }) => kind === dynamicSection);
  const strings = dynamic && sections[dynamic.link];
  if (dynamic === undefined || strings === undefined) return [];
  const libraries: string[] = [];
  for (let at = 0; at + 16 <= dynamic.data.length; at += 16) {
    if (dynamic.data.readBigUInt64LE(at) === neededTag) {
      libraries.push(stringAt(strings.data, Number(dynamic.data.readBigUInt64LE(at + 8))));
    }
  }
  return libraries;
}

function keyValues(data: Buffer): [string, string][] {
  return data
    .toString('latin1')
    .split('\0')
    .filter((entry) => entry.includes('='))
    .map((entry) => [entry.slice(0, entry.indexOf('=')), entry.slice(entry.indexOf('=') + 1)]);
}

function stringAt(data: Buffer, offset: number): string {
  const end = data.indexOf(0, offset);
  return data.toString('latin1', offset, end === -1 ? data.length : end);
}
