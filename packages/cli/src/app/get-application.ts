import { type Application, applications } from '@selvedge/api';
import type { HttpClient } from '@selvedge/kube';
import { CommandError } from '../program/exit-code.ts';
import { nearNames } from '../why/near-names.ts';

/** Throws CommandError, with names that were perhaps meant. */
export async function getApplication(
  client: HttpClient,
  { name, namespace }: { readonly name: string; readonly namespace: string },
): Promise<Application> {
  const found = await client.find<Application>(applications, { namespace, name });
  if (found !== undefined) return found;
  const { items } = await client.list<Application>(applications, { namespace });
  const near = nearNames(
    name,
    items.map(({ metadata }) => metadata.name),
  );
  const hint = near.length > 0 ? `Did you mean ${near.join(' or ')}?` : 'Another namespace is named with -n.';
  throw new CommandError(`there is no application ${name} in namespace ${namespace}`, hint);
}
