import { type Site, sites } from '@selvedge/api';
import type { HttpClient } from '@selvedge/kube';
import { CommandError } from '../program/exit-code.ts';
import { nearNames } from '../why/near-names.ts';

/** Throws CommandError that suggests near names. */
export async function getSite(client: HttpClient, name: string): Promise<Site> {
  const site = await client.find<Site>(sites, { name });
  if (site !== undefined) return site;
  const { items } = await client.list<Site>(sites);
  const near = nearNames(
    name,
    items.map((item) => item.metadata.name),
  );
  throw new CommandError(
    `there is no site ${name}`,
    near.length > 0 ? `Did you mean ${near.join(' or ')}?` : 'selvedge site list shows all.',
  );
}
