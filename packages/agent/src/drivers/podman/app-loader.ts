import { type KubeObject, resolveReferences, splitReleaseContent } from '@selvedge/api';
import type { Refusal } from '../item-state.ts';
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
  { item, siteName, variables, nodeGroups = [] }: ReleaseRef,
  capabilities: RuntimeCapabilities,
): AppOrRefusal {
  const { manifests, rules } = splitReleaseContent(content);
  const refusal = refusalOfRules(rules, { siteName, nodeGroups, manifests });
  if (refusal) return { refusal };
  const [, namespace = '', name = ''] = item.id.split('/');
  const resolved = resolveReferences(manifests, {
    siteName,
    siteVariables: variables,
    releaseName: item.release,
    applicationName: name,
    applicationNamespace: namespace,
  });
  if (resolved.missing.length > 0) {
    const list = resolved.missing.join(', ');
    return {
      refusal: {
        reason: 'VariableUndefined',
        message: `site ${siteName} has no variable ${list}; set it in the Site's spec.variables`,
      },
    };
  }
  const { app, faults } = readApp(resolved.value, { namespace, uid: item.uid }, capabilities);
  if (app) return { app };
  const rest = faults.length - shownFaults;
  const shown = faults.slice(0, shownFaults).join('; ') + (rest > 0 ? `; and ${rest} more` : '');
  return { refusal: { reason: 'Unsupported', message: shown } };
}
