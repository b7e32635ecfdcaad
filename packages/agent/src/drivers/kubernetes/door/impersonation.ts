import { linkNamePrefix, type LinkUser } from '@selvedge/api';

/**
 * As whom the site's API is asked: names of the hub, under a prefix of their own, so that none of them is a name that the site has given rights
 * to unknowingly. Kubernetes adds `system:authenticated`. Node writes a header's characters as single bytes; Kubernetes reads UTF-8.
 */
export function impersonationHeaders(user: LinkUser): Record<string, string | string[]> {
  const groups = user.groups.map((group) => headerText(linkNamePrefix + group));
  return {
    'impersonate-user': headerText(linkNamePrefix + user.name),
    ...(groups.length === 0 ? {} : { 'impersonate-group': groups }),
  };
}

function headerText(name: string): string {
  return Buffer.from(name, 'utf8').toString('latin1');
}
