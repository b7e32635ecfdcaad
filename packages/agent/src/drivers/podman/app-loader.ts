import { type KubeObject, resolveReferences } from '@selvedge/api';
import type { DesiredApp } from './desired-app.ts';
import type { ReleaseRef } from './item-record.ts';
import type { RuntimeCapabilities } from './runtime-capabilities.ts';
import { readApp } from './validate-support.ts';

/** The site cannot honour a release as it is; nothing was touched. */
export interface Refusal {
  readonly reason: 'VariableUndefined' | 'Unsupported';
  readonly message: string;
}

export type AppOrRefusal =
  | { readonly app: DesiredApp; readonly refusal?: undefined }
  | { readonly app?: undefined; readonly refusal: Refusal };

/** Faults that one message names; the rest is counted. */
const shownFaults = 8;

/** What a release's manifests mean at this site. Pure. */
export function loadApp(
  manifests: readonly KubeObject[],
  { item, siteName, variables }: ReleaseRef,
  capabilities: RuntimeCapabilities,
): AppOrRefusal {
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
