import { type Application, isMirrored, isPlaced, type Site } from '@selvedge/api';
import type { DeliveryRow } from '@selvedge/store';

/** Names of sites by what becomes of an application there; each site that has it or is to have it in exactly one list. */
export interface SiteChanges {
  readonly added: string[];
  readonly changed: string[];
  readonly removed: string[];
  readonly unchanged: string[];
}

/**
 * @param rows the wanted rows of this very application by site. A site whose Site is gone loses nothing: only a Site that is
 *   there and does not match is taken from; nor does the one that the application is taken from.
 */
export function siteChanges(
  application: Application,
  digest: string,
  { sites, rows }: { sites: readonly Site[]; rows: ReadonlyMap<string, DeliveryRow> },
): SiteChanges {
  const changes: SiteChanges = { added: [], changed: [], removed: [], unchanged: [] };
  for (const site of sites) {
    if (isMirrored(application, site)) continue;
    const { metadata } = site;
    const row = rows.get(metadata.name);
    const isSelected = isPlaced(application, site);
    if (row === undefined) {
      if (isSelected) changes.added.push(metadata.name);
    } else if (!isSelected) changes.removed.push(metadata.name);
    else changes[row.digest === digest ? 'unchanged' : 'changed'].push(metadata.name);
  }
  return changes;
}
