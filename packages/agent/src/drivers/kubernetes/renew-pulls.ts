import type { ScopedLogin } from '@selvedge/api';
import { loginsDigest, type Plan } from './release/release-plans.ts';
import { pullTask, type SiteCluster } from './site-cluster.ts';
import type { ItemRecord } from './state/item-record.ts';

interface Renewal {
  readonly record: ItemRecord;
  readonly site: SiteCluster;
  /** For the release in force, as they are now. */
  readonly logins: readonly ScopedLogin[];
  /** Its plan, made with these. */
  readonly replan: () => Promise<Plan | undefined>;
  readonly apply: (plan: Plan, pull: NonNullable<Plan['pull']>) => Promise<void>;
}

/**
 * When other logins came, begins to write the pull secrets of the release in force anew, and nothing else of it. When all are gone, what is in
 * the cluster stays.
 */
export function renewPulls(plan: Plan, { record, site, logins, replan, apply }: Renewal): void {
  const { pull } = plan;
  if (logins.length === 0) return;
  const isStale = plan.madeWith !== loginsDigest(logins);
  if (!isStale && (pull === undefined || pull.digest === record.appliedPull)) return;
  site.tasks.begin(pullTask(record.uid), async () => {
    const renewed = isStale ? await replan() : plan;
    if (renewed?.pull === undefined || renewed.pull.digest === record.appliedPull) return;
    await apply(renewed, renewed.pull);
    record.appliedPull = renewed.pull.digest;
    await site.records.save(record);
    site.logger.info('pull secrets renewed', { item: record.id });
  });
}
