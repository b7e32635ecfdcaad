import { canonicalJson } from '../canonical-json.ts';
import type { Site } from '../kinds/site.ts';
import { type RemovalSet, removalDigestInput, siteRemovalDigestInput } from '../removal/removal-set.ts';
import { sha256Digest } from './digest.ts';

/** `status.heldRemoval.digest` of an Application: names exactly this set, in exactly this way. */
export function removalDigest(set: RemovalSet): string {
  return sha256Digest(canonicalJson(removalDigestInput(set)));
}

/** `status.heldRemoval.digest` of Sites under deletion: of all that were held together. */
export function siteRemovalDigest(sites: readonly Site[]): string {
  return sha256Digest(canonicalJson(siteRemovalDigestInput(sites)));
}
