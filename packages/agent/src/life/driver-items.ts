import type { KubeObject } from '@selvedge/api';
import { sha256Digest } from '@selvedge/api/node';
import type { DriverItem } from '../drivers/driver.ts';
import type { ContentStore } from '../state/content-store.ts';

/** The same text for the same items. Secrets are in it by their versions, and logins, which have none, by their digest: no value is to lie about. */
export function textOf(items: readonly DriverItem[]): string {
  return JSON.stringify(
    items.map(({ secrets: _values, logins, ...item }) => ({
      ...item,
      logins: sha256Digest(JSON.stringify(logins)),
    })),
  );
}

/** `DriverItem.manifests`. */
export async function readManifests(
  content: ContentStore,
  id: string,
  digest: string,
): Promise<readonly KubeObject[]> {
  const bytes = content.find(digest);
  if (bytes === undefined) {
    throw new Error(`the manifests of ${id} (${digest}) are not on this machine; they are being fetched`);
  }
  return JSON.parse(bytes.toString('utf8')) as KubeObject[];
}
