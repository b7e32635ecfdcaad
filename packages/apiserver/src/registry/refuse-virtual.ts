import { StatusError } from '@selvedge/api';
import type { Resource } from './resource-catalog.ts';

/** Writes to a kind whose rows come from elsewhere have nowhere to go. */
export function refuseVirtual(resource: Resource, verb: string): void {
  if (!resource.source) return;
  throw new StatusError(
    'MethodNotAllowed',
    `${verb} is not supported on ${resource.name}: it is read-only, its objects follow from others`,
    { details: { kind: resource.ref.plural, ...(resource.ref.group ? { group: resource.ref.group } : {}) } },
  );
}
