import type { RegistryContent } from './content/registry-content.ts';
import type { NamespaceOwners } from './namespace-owners.ts';

/**
 * Removes the images of Namespaces that were gone before `before`; then others may use the name. Cut off, it is done again.
 * @returns the names of these Namespaces.
 */
export async function removeFormer(parts: {
  readonly content: Pick<RegistryContent, 'removeNamespace'>;
  readonly owners: NamespaceOwners;
  readonly now: Date;
  readonly before: Date;
  readonly signal: AbortSignal;
}): Promise<string[]> {
  const { content, owners, now, before, signal } = parts;
  const gone = await owners.findGone({ now, before });
  for (const namespace of gone) {
    await content.removeNamespace(namespace, signal);
    await owners.forget(namespace);
  }
  return gone;
}
