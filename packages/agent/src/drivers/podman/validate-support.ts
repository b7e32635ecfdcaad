import type { KubeObject } from '@selvedge/api';
import { buildApp, type DesiredApp, type AppContext } from './desired-app.ts';
import { findConflicts } from './check-references.ts';
import type { RuntimeCapabilities } from './runtime-capabilities.ts';
import { checkFields } from './supported-fields.ts';

export type AppOrFaults =
  | { readonly app: DesiredApp; readonly faults?: undefined }
  | { readonly app?: undefined; readonly faults: readonly string[] };

/**
 * The application that the manifests ask for, or everything in them that this machine cannot honour, each with its object
 * and field. Nothing is touched before this has passed.
 */
export function readApp(
  manifests: readonly KubeObject[],
  context: AppContext,
  capabilities: RuntimeCapabilities,
): AppOrFaults {
  const faults: string[] = [];
  for (const manifest of manifests) {
    const name = `${manifest.kind}/${manifest.metadata?.name ?? ''}`;
    checkFields(manifest, (path, message) => faults.push(`${name}: ${path}: ${message}`));
  }
  if (faults.length > 0) return { faults };
  const pruned = manifests.map((manifest) => dropNulls(manifest) as KubeObject);
  const conflicts = findConflicts(pruned, { context, capabilities });
  return conflicts.length > 0 ? { faults: conflicts } : { app: buildApp(pruned, context) };
}

/** `null` means absent. */
function dropNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(dropNulls);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).filter(([, entry]) => entry !== null);
  return Object.fromEntries(entries.map(([key, entry]) => [key, dropNulls(entry)]));
}
