import { type SitePolicy, sitePolicy, type SiteSpec } from '@selvedge/api';

const maxKept = 1_000;
const kept = new Map<string, SitePolicy>();

/** One object per policy, for all sites and plans: what was found out about its windows is remembered by the object. */
export function sharedPolicy(spec: SiteSpec | undefined): SitePolicy {
  const { hold: _, ...policy } = sitePolicy(spec);
  const key = JSON.stringify(policy);
  const shared = kept.get(key) ?? policy;
  // The one that was asked for last stands last.
  kept.delete(key);
  kept.set(key, shared);
  const [oldest] = kept.keys();
  if (kept.size > maxKept && oldest !== undefined) kept.delete(oldest);
  return shared;
}
