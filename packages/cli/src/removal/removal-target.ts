import { UsageError } from '../program/exit-code.ts';

/** What a removal is asked about. */
export type RemovalTarget =
  | { readonly kind: 'Application'; readonly namespace: string; readonly name: string }
  | { readonly kind: 'Site'; readonly name: string }
  | { readonly kind: 'Sites' };

/** Throws UsageError when the command line names none, or two. */
export function removalTarget(
  { name, sites, namespace }: { name: string | undefined; sites?: true; namespace?: string },
  defaultNamespace: string | undefined,
): RemovalTarget {
  if (sites === true) {
    if (name !== undefined) throw new UsageError('name either one removal, or --sites for all Sites');
    return { kind: 'Sites' };
  }
  if (name === undefined) throw new UsageError('name an application, site/NAME, or --sites for all Sites');
  if (name.startsWith('site/')) return { kind: 'Site', name: name.slice('site/'.length) };
  const [first = '', second] = name.split('/');
  if (second !== undefined) return { kind: 'Application', namespace: first, name: second };
  return { kind: 'Application', namespace: namespace ?? defaultNamespace ?? 'default', name };
}
