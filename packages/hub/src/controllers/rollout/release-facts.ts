import type { Release, Rollout } from '@selvedge/api';
import type { ReleaseFacts, ReleaseNeeds } from '../../rollout/rollout-input.ts';
import { rolloutNumber } from './rollout-history.ts';
import { needsDiffer } from './site-lacks.ts';

/** What a rollout has to know of a Release. `history`: the application's rollouts, newest first. */
export function releaseFacts({ metadata, spec, status }: Release, history: readonly Rollout[]): ReleaseFacts {
  const brought = history.filter((rollout) => rollout.spec.release === metadata.name);
  const [latest] = brought;
  // A hub of before Releases had a status knew of their success from the history alone.
  const hasPassed = status === undefined && brought.some((rollout) => rollout.status?.phase === 'Completed');
  return {
    release: metadata.name,
    digest: spec.digest,
    isCondemned: status?.condemned !== undefined,
    ...condemnedBy(status, history),
    isApproved: status?.approvedTime !== undefined || hasPassed,
    number: latest ? rolloutNumber(latest) : 0,
  };
}

/** What a site has to have for it; variables, where they are the same for every site: else `SiteLacks` says who lacks what. */
export function releaseNeeds(release: Release): ReleaseNeeds {
  const { variables = [], nodeGroups = [] } = release.spec;
  return { variables: needsDiffer(release) ? [] : variables, nodeGroups };
}

/** A Rollout of the same name that was made later condemned nothing. */
function condemnedBy(
  status: Release['status'],
  history: readonly Rollout[],
): Pick<ReleaseFacts, 'condemnedBy' | 'condemned'> {
  if (status?.condemned === undefined) return {};
  const { rollout, rolloutUid } = status.condemned;
  const namesake = history.find(({ metadata }) => metadata.name === rollout);
  const { time, reason, message } = status.condemned;
  const isIt = rolloutUid === undefined || namesake === undefined || namesake.metadata.uid === rolloutUid;
  return isIt ? { condemnedBy: rollout, condemned: { time, reason, message } } : {};
}

/**
 * Name of the newest release that passed every wave and nobody condemned: what new and returning sites get. While a rollout is
 * not completed its own release does not count, whatever it once was.
 */
export function findApprovedRelease(
  releases: readonly Release[],
  history: readonly Rollout[],
): string | undefined {
  const [newest] = history;
  const underTrial = newest?.status?.phase === 'Completed' ? undefined : newest?.spec.release;
  const [approved] = releases
    .map((release) => releaseFacts(release, history))
    .filter(({ isApproved, isCondemned, release }) => isApproved && !isCondemned && release !== underTrial)
    .sort((a, b) => b.number - a.number);
  return approved?.release;
}
