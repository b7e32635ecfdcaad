import {
  archivedBlobName,
  type ArchivedImage,
  canonicalJson,
  type SiteArchiveHead,
  siteArchiveFormat,
  siteArchiveHeadName,
} from '@selvedge/api';
import { sha256Digest, stateDigest, type TarFile, writeTar } from '@selvedge/api/node';
import { CompactSign } from 'jose';
import type { TestHub } from '../../testing/test-hub.ts';

export interface ArchiveChanges {
  readonly head?: Partial<SiteArchiveHead>;
  /** Of an OCI layout, in this order; each by its digest. */
  readonly blobs?: readonly Buffer[];
  readonly images?: readonly ArchivedImage[];
  /** Takes parts away, changes them or adds others. */
  readonly files?: (files: TarFile[]) => TarFile[];
}

/** What the hub would export of its present state; a test says where it lies. */
export async function makeArchive(hub: TestHub, changes: ArchiveChanges = {}): Promise<Buffer> {
  const state = hub.state();
  const { hubId, site, siteUid, epoch } = state;
  const named = { hubId, site, siteUid, epoch };
  const sign = (value: object) =>
    new CompactSign(Buffer.from(canonicalJson(value)))
      .setProtectedHeader({ alg: 'EdDSA' })
      .sign(hub.signingKey);
  const contents = state.items.flatMap(({ digest }) => {
    const bytes = hub.blobs.get(digest);
    return bytes === undefined ? [] : [{ digest, bytes }];
  });
  const blobs = (changes.blobs ?? []).map((bytes) => ({ digest: sha256Digest(bytes), bytes }));
  const sizeOf = ({ digest, bytes }: { digest: string; bytes: Buffer }) => ({
    digest,
    sizeBytes: bytes.length,
  });
  const head: SiteArchiveHead = {
    format: siteArchiveFormat,
    hubId,
    site,
    siteUid,
    instance: hub.instance,
    hubTime: hub.now().toISOString(),
    signed: await sign({ ...named, stateDigest: stateDigest(state) }),
    state,
    contents: contents.map(sizeOf),
    sealed: [],
    ...(changes.images === undefined
      ? {}
      : { signedImages: await sign({ ...named, images: changes.images }) }),
    blobs: blobs.map(sizeOf),
    leftOut: [],
    ...changes.head,
  };
  const files = [
    tarFile(siteArchiveHeadName, JSON.stringify(head)),
    ...contents.map(({ digest, bytes }) => tarFile(archivedBlobName('content', digest), bytes)),
    ...(changes.images === undefined ? [] : [tarFile('oci-layout', '{}'), tarFile('index.json', '{}')]),
    ...blobs.map(({ digest, bytes }) => tarFile(archivedBlobName('blobs', digest), bytes)),
  ];
  const changed = changes.files === undefined ? files : changes.files(files);
  return Buffer.concat(await Array.fromAsync(writeTar(changed, { modified: hub.now() })));
}

export function tarFile(name: string, text: string | Uint8Array): TarFile {
  const content = Buffer.from(text);
  return { name, sizeBytes: content.length, content };
}
