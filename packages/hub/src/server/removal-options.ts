import { defaultRemovalLimits, type RemovalLimits } from '../removal/judge-removal.ts';
import { HubOptionError } from './hub-option-error.ts';

/** How many Sites may leave the fleet within an hour without a person, as on the command line: the larger of the two. */
export interface RemovalFlags {
  readonly removalGuardSites?: string;
  /** Of all Sites, 0 to 100. */
  readonly removalGuardPercent?: string;
}

/** Throws HubOptionError. */
export function resolveRemovalOptions(flags: RemovalFlags): RemovalLimits {
  return {
    sites: parse('--removal-guard-sites', flags.removalGuardSites, {
      fallback: defaultRemovalLimits.sites,
      most: 9_999_999,
    }),
    percent: parse('--removal-guard-percent', flags.removalGuardPercent, {
      fallback: defaultRemovalLimits.percent,
      most: 100,
    }),
  };
}

function parse(
  flag: string,
  text: string | undefined,
  { fallback, most }: { fallback: number; most: number },
): number {
  if (text === undefined) return fallback;
  const count = Number(text);
  if (!/^\d{1,7}$/.test(text) || count > most)
    throw new HubOptionError(`${flag} must be a whole number from 0 to ${most}, not "${text}"`);
  return count;
}
