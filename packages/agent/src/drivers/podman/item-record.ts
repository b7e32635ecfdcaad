import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { canonicalJson, type DesiredItem } from '@selvedge/api';
import { writeFileAtomically } from '@selvedge/api/node';
import { removeLeftovers } from '../../state/atomic-file.ts';
import type { DriverItem } from '../driver.ts';
import type { LocalImage } from './images.ts';
import type { ItemState } from './item-state.ts';
import { shortHash } from './ownership.ts';

/** A release as it was resolved for this site: enough to read its manifests again. */
export interface ReleaseRef {
  readonly item: DesiredItem;
  readonly siteName: string;
  readonly variables: Readonly<Record<string, string | number | boolean>>;
}

/** A release that passed preparation: its images are here, its ports and names could be had. */
export interface PreparedRelease {
  readonly key: string;
  readonly digest: string;
  readonly images: readonly LocalImage[];
  /** It was so when it was last looked at. */
  readonly holds: boolean;
}

/** What is remembered of an item across restarts. Holds nothing secret. */
export interface ItemRecord {
  readonly id: string;
  readonly uid: string;
  /** The release that the pods are to be brought to: the last one whose preparation passed. */
  active?: ReleaseRef;
  /** Releases before it that may still have pods. */
  earlier: ReleaseRef[];
  /** The active release was healthy once. */
  hasSucceeded: boolean;
  /** When the active release was activated. RFC 3339, the machine's clock. */
  activatedTime?: string;
  /** Newest first; those that were active are among them, so that going back to them needs no registry. */
  prepared?: PreparedRelease[];
  /** Podman volumes of claims that its releases have used. */
  claimVolumes?: string[];
  /** What was reported last, for which assignment, and since when. */
  reported?: ItemState & { readonly key: string; readonly epoch: number; readonly sinceTime: string };
}

export function refOf({ item, siteName, variables }: DriverItem): ReleaseRef {
  return { item, siteName, variables };
}

/** Same key: the same manifests with the same values. */
export function releaseKey({ item, siteName, variables }: ReleaseRef): string {
  return `${item.digest} ${shortHash(canonicalJson([item.release, siteName, variables]), 10)}`;
}

/** One small file per item, replaced atomically. */
export class ItemRecords {
  readonly #folder: string;
  /** By uid: what the file holds. */
  readonly #written = new Map<string, string>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  async loadAll(): Promise<ItemRecord[]> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    await removeLeftovers(this.#folder);
    const names = (await readdir(this.#folder)).filter((name) => name.endsWith('.json'));
    const records: ItemRecord[] = [];
    for (const name of names) {
      const text = await readFile(join(this.#folder, name), 'utf8');
      const record = JSON.parse(text) as ItemRecord;
      this.#written.set(record.uid, text);
      records.push(record);
    }
    return records;
  }

  /** Writes only what changed. */
  async save(record: ItemRecord): Promise<void> {
    const text = JSON.stringify(record);
    if (this.#written.get(record.uid) === text) return;
    const path = this.#pathOf(record.uid);
    await writeFileAtomically(path, text);
    this.#written.set(record.uid, text);
  }

  async remove(uid: string): Promise<void> {
    this.#written.delete(uid);
    await rm(this.#pathOf(uid), { force: true });
  }

  #pathOf(uid: string): string {
    return join(this.#folder, `${shortHash(uid, 16)}.json`);
  }
}
