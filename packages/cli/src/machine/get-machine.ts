import { type Machine, machines } from '@selvedge/api';
import type { HttpClient } from '@selvedge/kube';
import { CommandError } from '../program/exit-code.ts';
import { nearNames } from '../why/near-names.ts';

/**
 * The machine of that name; or the only one with that display name, MAC address, serial number or UUID. Throws CommandError, with names that were perhaps
 * meant.
 */
export async function getMachine(client: HttpClient, name: string): Promise<Machine> {
  const isName = /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(name);
  const found = isName ? await client.find<Machine>(machines, { name }) : undefined;
  if (found !== undefined) return found;
  const { items } = await client.list<Machine>(machines);
  const known = items.filter((machine) => identitiesOf(machine).has(name.toLowerCase()));
  const [only] = known;
  if (only !== undefined && known.length === 1) return only;
  if (known.length > 1) {
    const names = known.map(({ metadata }) => metadata.name).join(', ');
    throw new CommandError(
      `${name} is not one machine but ${known.length}: ${names}`,
      'Give the name of one.',
    );
  }
  const near = nearNames(
    name,
    items.map(({ metadata }) => metadata.name),
  );
  const hint = near.length > 0 ? `Did you mean ${near.join(' or ')}?` : 'selvedge machine list shows all.';
  throw new CommandError(`there is no machine ${name}`, hint);
}

function identitiesOf({ spec, status }: Machine): Set<string> {
  const { uuid, serials = [], macAddresses = [] } = spec.identity;
  const seen = status?.seen;
  const all = [uuid, ...serials, ...macAddresses, spec.displayName, seen?.uuid];
  const texts = [...all, ...(seen?.serials ?? []), ...(seen?.macAddresses ?? [])];
  return new Set(texts.filter((text) => text !== undefined).map((text) => text.toLowerCase()));
}
