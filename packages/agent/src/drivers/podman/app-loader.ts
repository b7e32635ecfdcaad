import type { KubeObject, SecretValue } from '@selvedge/api';
import type { Refusal } from '../item-state.ts';
import { applicationOf, resolveForSite } from '../resolve-for-site.ts';
import type { DesiredApp } from './desired-app.ts';
import type { ReleaseRef } from './item-record.ts';
import { refusalOfRules } from './refused-rules.ts';
import type { RuntimeCapabilities } from './runtime-capabilities.ts';
import { readApp } from './validate-support.ts';

export type AppOrRefusal =
  | { readonly app: DesiredApp; readonly refusal?: undefined }
  | { readonly app?: undefined; readonly refusal: Refusal };

/** Faults that one message names; the rest is counted. */
const shownFaults = 8;

/** What a release's content means at this site. Pure. */
export function loadApp(
  content: readonly KubeObject[],
  ref: ReleaseRef & { readonly secrets?: ReadonlyMap<string, SecretValue> },
  capabilities: RuntimeCapabilities,
): AppOrRefusal {
  const resolved = resolveForSite(content, ref);
  if (resolved.refusal) return { refusal: resolved.refusal };
  const { manifests, rules } = resolved;
  const { item, siteName, nodeGroups = [] } = ref;
  const refusal = refusalOfRules(rules, { siteName, nodeGroups, manifests });
  if (refusal) return { refusal };
  const { namespace } = applicationOf(item.id);
  const { app, faults } = readApp(manifests, { namespace, uid: item.uid }, capabilities);
  if (app) return { app };
  const rest = faults.length - shownFaults;
  const shown = faults.slice(0, shownFaults).join('; ') + (rest > 0 ? `; and ${rest} more` : '');
  return { refusal: { reason: 'Unsupported', message: shown } };
}
