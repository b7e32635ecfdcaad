import type { RackOrder, SitePolicy } from '@selvedge/api';
import type { BodyReader } from './body-reader.ts';

const maxListed = 10_000;
const lists = ['networks', 'inspection', 'images', 'scripts', 'machines'] as const;

/**
 * `SitePolicy.rack` of a state that a site follows. Only its outline is looked at, and nothing is left out: a held state counts once the signature of the hub is found
 * over all of it, and then the order is as a hub made it, whatever version that had.
 */
export function parseRackOrder(reader: BodyReader, value: unknown, path: string): Pick<SitePolicy, 'rack'> {
  const fields = reader.optionalObject(value, path);
  if (fields === undefined) return {};
  reader.string(fields['discovery'], `${path}.discovery`, { max: 40 });
  for (const list of lists) {
    for (const [i, entry] of reader.list(fields[list], `${path}.${list}`, maxListed).entries()) {
      const at = `${path}.${list}[${i}]`;
      reader.string(reader.object(entry, at)['name'], `${at}.name`, { max: 253 });
    }
  }
  return { rack: fields as unknown as RackOrder };
}
