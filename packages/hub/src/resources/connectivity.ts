import { parseDuration, type Site, type SiteConnectivity } from '@selvedge/api';

const defaultExpectedSilenceSeconds = 24 * 3600;

/** How long a site may be silent before somebody should look after it. */
export function expectedSilenceSeconds(spec: Site['spec']): number {
  return parseDuration(spec?.connectivity?.expected ?? '24h') ?? defaultExpectedSilenceSeconds;
}

export interface Contact {
  /** RFC 3339; absent: never heard of. */
  readonly lastSeenTime: string | undefined;
  /** A site whose last contact is not longer ago is in touch: one long-poll and a little. */
  readonly connectedWithinSeconds: number;
  readonly expectedSilenceSeconds: number;
  readonly now: Date;
}

export function connectivityOf(contact: Contact): SiteConnectivity {
  if (contact.lastSeenTime === undefined) return 'NeverConnected';
  const silentSeconds = (contact.now.getTime() - Date.parse(contact.lastSeenTime)) / 1000;
  if (silentSeconds <= contact.connectedWithinSeconds) return 'Connected';
  return silentSeconds <= contact.expectedSilenceSeconds ? 'Away' : 'Overdue';
}
