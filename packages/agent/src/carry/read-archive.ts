import {
  type ArchivedBlob,
  archivedBlobName,
  longestSiteArchiveHead,
  type SealedName,
  type SealedValue,
  siteArchiveHeadName,
} from '@selvedge/api';
import { readTar, sha256Digest, type TarEntry } from '@selvedge/api/node';
import type { StateOwner } from '../sync/verify-state.ts';
import { ArchiveRefused, type ArchivePlan, planImport } from './archive-plan.ts';
import { ImageBlobs } from './image-blobs.ts';

/** Where the parts of an archive go, each as soon as it is proven; everything may be there already. */
export interface ArchiveSink {
  /** Once, before anything else: throws when this archive is not to be taken. */
  begin(plan: ArchivePlan): void;
  hasContent(digest: string): boolean;
  putContent(digest: string, bytes: Buffer): void;
  /** Verifies it as one from the network. */
  putSealed(name: SealedName, value: SealedValue): Promise<void>;
  /** Reads the stream to its end and throws unless it is what the digest names. Absent: images are not kept here. */
  putBlob?(blob: ArchivedBlob, content: AsyncIterable<Uint8Array>): Promise<void>;
}

const longestContent = 64 * 1024 * 1024;
const longestSealed = 4 * 1024 * 1024;
const longestIndex = 8 * 1024 * 1024;

/**
 * Reads an archive once, from its beginning to its end, with little memory whatever its size. Throws ArchiveRefused, TarError or StateRefused
 * for what is not to be taken; what had been put until then is proven and does no harm.
 */
export async function readArchive(
  source: AsyncIterable<Uint8Array>,
  owner: StateOwner,
  sink: ArchiveSink,
): Promise<ArchivePlan> {
  const entries = readTar(source);
  try {
    const first = await entries.next();
    if (first.done === true || first.value.name !== siteArchiveHeadName) {
      throw new ArchiveRefused('the file is no archive of a site: make one with "selvedge site export"');
    }
    const head = await readWhole(first.value, longestSiteArchiveHead);
    const plan = await planImport(head.toString('utf8'), owner);
    sink.begin(plan);
    const expected = namesIn(plan);
    const images = new ImageBlobs(plan);
    for (let next = await entries.next(); next.done !== true; next = await entries.next()) {
      const entry = next.value;
      if (!expected.delete(entry.name)) {
        throw new ArchiveRefused(`the file has a part ${entry.name} that it does not need: it was changed`);
      }
      await takeEntry(entry, { plan, sink, images });
    }
    const [missing] = expected;
    if (missing !== undefined) throw new ArchiveRefused(`the file lacks ${missing}: copy or export it again`);
    return plan;
  } finally {
    await entries.return(undefined);
  }
}

function namesIn(plan: ArchivePlan): Set<string> {
  return new Set([
    ...[...plan.contents.keys()].map((digest) => archivedBlobName('content', digest)),
    ...plan.sealed.map((_, at) => `sealed/${at}`),
    ...(plan.images === undefined ? [] : ['oci-layout', 'index.json']),
    ...[...plan.blobs.keys()].map((digest) => archivedBlobName('blobs', digest)),
  ]);
}

async function takeEntry(
  entry: TarEntry,
  { plan, sink, images }: { plan: ArchivePlan; sink: ArchiveSink; images: ImageBlobs },
): Promise<void> {
  const [folder = '', ...rest] = entry.name.split('/');
  switch (folder) {
    case 'content': {
      const digest = rest.join(':');
      checkSize(entry, plan.contents.get(digest));
      if (sink.hasContent(digest)) return;
      const bytes = await readWhole(entry, longestContent);
      if (sha256Digest(bytes) !== digest) {
        throw new ArchiveRefused(`the file is damaged: ${entry.name} is something else`);
      }
      sink.putContent(digest, bytes);
      return;
    }
    case 'sealed': {
      const name = plan.sealed[Number(rest[0])] as SealedName;
      await sink.putSealed(name, parseSealed(await readWhole(entry, longestSealed), entry.name));
      return;
    }
    case 'blobs': {
      const digest = rest.join(':');
      checkSize(entry, plan.blobs.get(digest));
      const content = await images.check(digest, entry);
      await sink.putBlob?.({ digest, sizeBytes: entry.sizeBytes }, content);
      return;
    }
    default:
      // The layout is there for other programs: what it says is not believed here.
      if (entry.sizeBytes > longestIndex) throw new ArchiveRefused(`${entry.name} in the file is too long`);
  }
}

function checkSize({ name, sizeBytes }: TarEntry, said: number | undefined): void {
  if (sizeBytes !== said) throw new ArchiveRefused(`${name} in the file is not as long as its head says`);
}

function parseSealed(bytes: Buffer, name: string): SealedValue {
  try {
    const value = JSON.parse(bytes.toString('utf8')) as SealedValue;
    if (typeof value.signed === 'string') return value;
  } catch {
    // Said below.
  }
  throw new ArchiveRefused(`the file is damaged: ${name} is no sealed value`);
}

async function readWhole(entry: TarEntry, longest: number): Promise<Buffer> {
  if (entry.sizeBytes > longest) {
    throw new ArchiveRefused(`${entry.name} in the file is longer than ${longest} bytes`);
  }
  return Buffer.concat(await Array.fromAsync(entry.content()));
}
