import { shortenedName } from './digest.ts';

/** Keys of the labels that the pods of an application have, at every kind of site. */
export const applicationLabelNames = {
  name: 'selvedge.dev/application',
  namespace: 'selvedge.dev/application-namespace',
} as const;

const longestLabelValue = 63;

/** The labels by which an application's pods are found. */
export function applicationPodLabels(namespace: string, name: string): Record<string, string> {
  return {
    [applicationLabelNames.name]: shortenedName(name, longestLabelValue),
    [applicationLabelNames.namespace]: shortenedName(namespace, longestLabelValue),
  };
}

/** The same as a `labelSelector`. */
export function applicationPodSelector(namespace: string, name: string): string {
  return Object.entries(applicationPodLabels(namespace, name))
    .map(([key, value]) => `${key}=${value}`)
    .join(',');
}
