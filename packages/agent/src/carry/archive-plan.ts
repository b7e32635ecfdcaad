import {
  type ArchivedBlob,
  type DesiredState,
  type SignedImages,
  type SiteArchiveHead,
  siteArchiveFormat,
} from '@selvedge/api';
import { compactVerify } from 'jose';
import { mergeState, type OfferedState } from '../sync/merge-state.ts';
import {
  checkStateDigest,
  fleetKeyObject,
  type StateOwner,
  verifySignedState,
} from '../sync/verify-state.ts';

/** The archive cannot be taken; the message is for people. Nothing that runs here was touched. */
export class ArchiveRefused extends Error {
  override readonly name = 'ArchiveRefused';
}

/** What a site takes of an archive: all of it proven by the fleet key, or named by a digest that is. */
export interface ArchivePlan {
  readonly state: DesiredState;
  readonly stateDigest: string;
  readonly offered: OfferedState;
  readonly hubTime: string;
  /** Contents that the state names and the archive has. */
  readonly contents: ReadonlyMap<string, number>;
  readonly sealed: readonly { readonly id: string; readonly version: string }[];
  /** Absent: the archive was made without images. */
  readonly images?: SignedImages['images'];
  readonly blobs: ReadonlyMap<string, number>;
  readonly leftOut: readonly string[];
}

/** Proves the head of an archive for this site. Throws ArchiveRefused, and StateRefused for what its signature does not cover. */
export async function planImport(text: string, owner: StateOwner): Promise<ArchivePlan> {
  const head = parseHead(text);
  for (const field of ['site', 'siteUid', 'hubId'] as const) {
    if (head[field] !== owner[field]) throw new ArchiveRefused(foreign(head, owner, field));
  }
  const header = await verifySignedState(head.signed, owner);
  const { variables, policy, items, tombstones } = head.state;
  const offered: OfferedState = { signed: head.signed, full: true, variables, policy, items, tombstones };
  const state = asDamage(() => mergeState(undefined, offered, header));
  checkStateDigest(state, header);
  const wanted = new Set(state.items.flatMap(({ digest, terms }) => [digest, terms.fallback?.digest]));
  const sealed = new Set((state.policy.sealed ?? []).map(({ id, version }) => `${id} ${version}`));
  const strange =
    head.contents.find(({ digest }) => !wanted.has(digest))?.digest ??
    head.sealed.find(({ id, version }) => !sealed.has(`${id} ${version}`))?.id;
  if (strange !== undefined) {
    throw new ArchiveRefused(
      `the file brings ${strange}, which its signed state does not name: it was changed`,
    );
  }
  const images =
    head.signedImages === undefined
      ? undefined
      : await verifyImages(head.signedImages, { owner, epoch: header.epoch });
  return {
    state,
    stateDigest: header.stateDigest,
    offered,
    hubTime: head.hubTime,
    contents: sizes(head.contents),
    sealed: head.sealed,
    ...(images === undefined ? {} : { images }),
    blobs: sizes(head.blobs),
    leftOut: head.leftOut,
  };
}

function foreign(head: SiteArchiveHead, owner: StateOwner, field: 'site' | 'siteUid' | 'hubId'): string {
  if (field === 'site') return `the file is for site "${head.site}", and this is site "${owner.site}"`;
  if (field === 'hubId') return `the file comes from another hub than the one of site "${owner.site}"`;
  return `the file is for a site "${head.site}" from before it was deleted and made again: export it anew`;
}

/** The names decide what is run under them, and a name with a tag proves nothing of its digest. */
async function verifyImages(
  signed: string,
  { owner, epoch }: { owner: StateOwner; epoch: number },
): Promise<SignedImages['images']> {
  let images: SignedImages;
  try {
    const key = fleetKeyObject(owner.fleetKey);
    const { payload } = await compactVerify(signed, key, { algorithms: ['EdDSA'] });
    images = JSON.parse(new TextDecoder().decode(payload)) as SignedImages;
  } catch (cause) {
    throw new ArchiveRefused('the images of the file are not signed by the hub of this site', { cause });
  }
  const isOurs = images.hubId === owner.hubId && images.siteUid === owner.siteUid && images.epoch === epoch;
  if (isOurs && Array.isArray(images.images)) return images.images;
  throw new ArchiveRefused('the images of the file are signed for another state: it was changed');
}

function parseHead(text: string): SiteArchiveHead {
  const head = asDamage(() => JSON.parse(text) as SiteArchiveHead);
  if ((head as { format?: unknown } | null)?.format !== siteArchiveFormat) {
    throw new ArchiveRefused(
      `the file is none that this agent understands (${siteArchiveFormat}): was it made by a newer hub? Update the agent`,
    );
  }
  const { hubId, hubTime, site, siteUid, signed, state, contents, sealed, signedImages, blobs, leftOut } =
    head;
  const areTexts = [hubId, hubTime, site, siteUid, signed].every((one) => typeof one === 'string');
  const isState = typeof state === 'object' && state !== null;
  const areListed = Array.isArray(sealed) && sealed.every(isSealedName) && Array.isArray(leftOut);
  const isWhole = areTexts && isState && isBlobList(contents) && isBlobList(blobs) && areListed;
  if (isWhole && (signedImages === undefined || typeof signedImages === 'string')) return head;
  throw new ArchiveRefused('the file is damaged: its head is not complete');
}

function isBlobList(list: unknown): list is ArchivedBlob[] {
  return (
    Array.isArray(list) &&
    list.every((one) => {
      const { digest, sizeBytes } = (one ?? {}) as { digest?: unknown; sizeBytes?: unknown };
      const isSize = Number.isSafeInteger(sizeBytes) && (sizeBytes as number) >= 0;
      return isSize && typeof digest === 'string' && /^sha256:[0-9a-f]{64}$/.test(digest);
    })
  );
}

function isSealedName(value: unknown): boolean {
  const { id, version } = (value ?? {}) as { id?: unknown; version?: unknown };
  return typeof id === 'string' && typeof version === 'string';
}

function sizes(blobs: readonly ArchivedBlob[]): Map<string, number> {
  return new Map(blobs.map(({ digest, sizeBytes }) => [digest, sizeBytes]));
}

/** What a hostile head can make go wrong is its fault, and not ours. */
function asDamage<T>(work: () => T): T {
  try {
    return work();
  } catch (cause) {
    throw new ArchiveRefused('the file is damaged: its head cannot be read', { cause });
  }
}
