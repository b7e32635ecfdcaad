import type { WhyFacts } from './why-facts.ts';

export type WhyVerdict =
  /** The site itself says that the wanted release runs, and that it is healthy. */
  | 'Running'
  /** Assigned, the site is at it. */
  | 'Progressing'
  /** Its wave has not begun, or the rollout is held. */
  | 'Waiting'
  /** The site has it prepared and waits: for its wave, a window or an instant. */
  | 'Prepared'
  /** A person holds changes back there, or the site does not follow this hub. */
  | 'Held'
  /** The newest release was condemned; the site keeps, or goes back to, what ran before. */
  | 'Reverted'
  /** The site is to lose it, and the guard waits for a person. */
  | 'RemovalHeld'
  /** Assigned, and the site is silent. */
  | 'Away'
  | 'NeverConnected'
  | 'Degraded'
  | 'Failed'
  | 'Refused'
  /** The hub will not assign it: a variable or a node group is missing. */
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
  if (facts.isRemovalHeld) return 'RemovalHeld';
  if (!facts.isSelected) return 'NotSelected';
  if (application.status?.release === undefined) return 'NotReleased';
  if (!facts.isAssigned) {
    if (facts.isCondemned) return 'Reverted';
    if (facts.missingVariables.length > 0 || facts.missingNodeGroups.length > 0) return 'Blocked';
    if (facts.overrideFaults.length > 0) return 'Blocked';
    if (facts.hold !== undefined && connectivity === 'Connected') return 'Held';
    return connectivity === 'NeverConnected' ? 'NeverConnected' : 'Waiting';
  }
  if (state === 'Running' || state === 'Degraded' || state === 'Refused' || state === 'Failed') return state;
  if (facts.isCondemned) return 'Reverted';
  if (facts.failure !== undefined) return 'Failed';
  if (facts.hold !== undefined && connectivity === 'Connected') return 'Held';
  if (state === 'Prepared' && connectivity === 'Connected') return 'Prepared';
  if (connectivity === 'NeverConnected') return 'NeverConnected';
  return connectivity === 'Connected' ? 'Progressing' : 'Away';
}
