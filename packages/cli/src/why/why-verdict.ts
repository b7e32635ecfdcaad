import type { WhyFacts } from './why-facts.ts';

export type WhyVerdict =
  /** The site itself says that the wanted release runs, and that it is healthy. */
  | 'Running'
  /** Assigned, the site is at it. */
  | 'Progressing'
  /** Its wave has not begun, or the rollout is held. */
  | 'Waiting'
  /** Assigned, and the site is silent. */
  | 'Away'
  | 'NeverConnected'
  | 'Degraded'
  | 'Failed'
  | 'Refused'
  /** The hub will not assign it: a variable is missing. */
  | 'Blocked'
  /** The application has no release to give. */
  | 'NotReleased'
  | 'NotSelected'
  | 'Removing'
  /** No such site or application. */
  | 'NotFound';

export function verdictOf(facts: WhyFacts): WhyVerdict {
  const { application, delivery, connectivity } = facts;
  const state = delivery?.status.state;
  if (state === 'Removing') return 'Removing';
  if (!facts.isSelected) return 'NotSelected';
  if (application.status?.release === undefined) return 'NotReleased';
  if (!facts.isAssigned) {
    if (facts.missingVariables.length > 0) return 'Blocked';
    return connectivity === 'NeverConnected' ? 'NeverConnected' : 'Waiting';
  }
  if (state === 'Running' || state === 'Degraded' || state === 'Refused' || state === 'Failed') return state;
  if (facts.failure !== undefined) return 'Failed';
  if (connectivity === 'NeverConnected') return 'NeverConnected';
  return connectivity === 'Connected' ? 'Progressing' : 'Away';
}
