import type { ApplicationSpec, ApplicationStatus } from './kinds/application.ts';
import { matchesLabelSelector } from './label-selector.ts';
import type { ObjectMeta } from './object-meta.ts';

/** What of an Application decides at which sites it is. */
export interface PlacedApplication {
  readonly spec: Pick<ApplicationSpec, 'placement' | 'source'>;
  /** Absent: nothing was read yet. */
  readonly status?: Pick<ApplicationStatus, 'mirroredSites'>;
}

/**
 * Whether an application is meant for a site: its labels match, and the application is not taken from there. A site that is mirrored
 * never gets back what it gave; what the application runs there from an earlier source is left as it is.
 */
export function isPlaced(
  application: PlacedApplication,
  site: { readonly metadata: Pick<ObjectMeta, 'name' | 'labels'> },
): boolean {
  const { siteSelector } = application.spec.placement;
  return !isMirrored(application, site) && matchesLabelSelector(site.metadata.labels, siteSelector);
}

/**
 * Whether the site is one that the application is taken from, or was: there stand the originals of what it brings elsewhere, which would be
 * adopted as its own.
 */
export function isMirrored(
  { spec, status }: PlacedApplication,
  { metadata }: { readonly metadata: Pick<ObjectMeta, 'name'> },
): boolean {
  return (
    spec.source.mirror?.site === metadata.name || status?.mirroredSites?.includes(metadata.name) === true
  );
}
