import { type EnrollmentToken, type EnrollmentTokenSpec, parseDuration } from '@selvedge/api';
import { UsageError } from '../program/exit-code.ts';

export interface TokenWish {
  /** Name of the site, or a template of names with {hostname} or {random}. */
  readonly site: string;
  readonly uses?: number;
  readonly ttl?: string;
  readonly labels?: Readonly<Record<string, string>>;
}

/** On tokens of this command: only those may it replace. */
const madeBy = 'selvedge.dev/made-by';
const defaults = { uses: 1, ttl: '24h' } as const;
/** A token that ends sooner is of no use to somebody who has to carry it somewhere. */
const leastSecondsLeft = 300;

/** The EnrollmentToken that is wanted: `site-NAME`. Throws UsageError. */
export function wantedToken(wish: TokenWish): EnrollmentToken {
  const isTemplate = wish.site.includes('{');
  const uses = wish.uses ?? defaults.uses;
  if (uses > 1 && !isTemplate) {
    throw new UsageError(
      `a site has one agent: with --uses ${uses} NAME has to be a template of names, as in ${wish.site}-{hostname} or ${wish.site}-{random}`,
    );
  }
  const ttl = wish.ttl ?? defaults.ttl;
  if (parseDuration(ttl) === undefined) {
    throw new UsageError(`--ttl ${JSON.stringify(ttl)} is not a duration; write 90s, 15m, 24h or 7d`);
  }
  const spec: EnrollmentTokenSpec = {
    ...(isTemplate ? { siteNameTemplate: wish.site } : { siteName: wish.site }),
    ...(wish.labels === undefined ? {} : { siteLabels: { ...wish.labels } }),
    uses,
    ttl,
  };
  return {
    apiVersion: 'selvedge.dev/v1alpha1',
    kind: 'EnrollmentToken',
    metadata: {
      name: `site-${wish.site.replace(/[{}]/g, '').toLowerCase()}`,
      annotations: { [madeBy]: 'selvedge-site-token' },
    },
    spec,
  };
}

/** Whether the token that is there does what is wanted; a used up, expired or different one does not. */
export function isStillGood(present: EnrollmentToken, wanted: EnrollmentToken, now: Date): boolean {
  const { spec, status, metadata } = present;
  if (metadata.deletionTimestamp !== undefined) return false;
  const isSame =
    spec.siteName === wanted.spec.siteName &&
    spec.siteNameTemplate === wanted.spec.siteNameTemplate &&
    (spec.uses ?? defaults.uses) === wanted.spec.uses &&
    (spec.ttl ?? defaults.ttl) === wanted.spec.ttl &&
    sameLabels(spec.siteLabels ?? {}, wanted.spec.siteLabels ?? {});
  if (!isSame || (status?.usedCount ?? status?.used?.length ?? 0) >= (spec.uses ?? defaults.uses))
    return false;
  const lifeSeconds = parseDuration(spec.ttl ?? defaults.ttl) ?? 0;
  const secondsLeft = (expiryOf(present).getTime() - now.getTime()) / 1000;
  return secondsLeft > Math.min(leastSecondsLeft, lifeSeconds / 2);
}

export function isMadeByThisCommand({ metadata }: EnrollmentToken): boolean {
  return metadata.annotations?.[madeBy] !== undefined;
}

export function expiryOf({ metadata, spec }: EnrollmentToken): Date {
  const seconds = parseDuration(spec.ttl ?? defaults.ttl) ?? 0;
  return new Date(Date.parse(metadata.creationTimestamp ?? '') + seconds * 1000);
}

function sameLabels(a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): boolean {
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => a[key] === b[key]);
}
