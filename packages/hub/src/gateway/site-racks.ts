import { isDeepStrictEqual } from 'node:util';
import type { Clock, RackReport, Site } from '@selvedge/api';
import type { SiteKey } from '@selvedge/store';
import { SiteAllowance } from './site-allowance.ts';
import type { SiteStatusWriter } from './site-status.ts';
import type { CheckedSyncRequest } from './sync-request.ts';

/** A rack may change what it says of itself so often at once, and then every five seconds: images are on their way for long. */
const changesAtOnce = 20;
const changeSeconds = 5;

/** What racks say of themselves, in `Site.status.rack`. */
export class SiteRacks {
  readonly #status: SiteStatusWriter;
  readonly #allowance: SiteAllowance;
  /** Per site: the last word, while it came too soon to be written. */
  readonly #pending = new Map<string, RackReport>();

  constructor(options: { status: SiteStatusWriter; clock: Clock }) {
    this.#status = options.status;
    const limits = { burst: changesAtOnce, perSecond: 1 / changeSeconds };
    this.#allowance = new SiteAllowance(options.clock, limits);
  }

  forget(site: string): void {
    this.#allowance.forget(site);
    this.#pending.delete(site);
  }

  /** At every contact. Resolves when what the report says is durable, or kept to be written at a later contact. */
  async take(
    site: Site,
    key: Pick<SiteKey, 'site' | 'siteUid'>,
    { rack: told, machinesDigest }: Pick<CheckedSyncRequest, 'rack' | 'machinesDigest'>,
  ): Promise<void> {
    // A rack speaks of its machines in every request.
    if (told === undefined && machinesDigest === undefined) return this.#clear(site, key);
    const report = told ?? this.#pending.get(key.site);
    if (report === undefined || isSame(site, report)) {
      this.#pending.delete(key.site);
      return;
    }
    if (this.#allowance.take(key.site, 1) === 0) {
      this.#pending.set(key.site, report);
      return;
    }
    this.#pending.delete(key.site);
    // In one merge patch an absent field would stay.
    const { message = null, discoveryFull = null } = report;
    const rack = { ...structuredClone(report), message, discoveryFull };
    await this.#status.change(key, (present) => {
      // It may have said more to another hub since.
      const isOld = told === undefined && isOlder(report, present);
      return isOld || isSame(present, report) ? undefined : { rack };
    });
  }

  /** The agent runs without a rack now: what the last one said holds no longer. */
  async #clear(site: Site, key: Pick<SiteKey, 'site' | 'siteUid'>): Promise<void> {
    this.#pending.delete(key.site);
    if (site.status?.rack === undefined || this.#allowance.take(key.site, 1) === 0) return;
    await this.#status.change(key, (present) =>
      present.status?.rack === undefined ? undefined : { rack: null },
    );
  }
}

function isOlder({ observedTime }: RackReport, { status }: Site): boolean {
  return observedTime < (status?.rack?.observedTime ?? '');
}

/** What only says when it was seen again changes nothing. */
function isSame({ status }: Site, report: RackReport): boolean {
  const observedTime = status?.rack?.observedTime;
  return isDeepStrictEqual(status?.rack, { ...report, observedTime });
}
