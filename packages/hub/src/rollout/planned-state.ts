import type { RolloutPhase, RolloutStatus } from '@selvedge/api';
import type { BudgetState } from './budgets.ts';
import type { RevertState } from './revert.ts';
import type { RolloutView } from './rollout-view.ts';

/** What a plan comes to, for putting into a status. */
export interface PlannedState {
  readonly view: RolloutView;
  readonly phase: RolloutPhase;
  /** How many waves have passed. */
  readonly passed: number;
  readonly budgets: BudgetState;
  /** Whether sites of the wave may activate by this plan. */
  readonly isActive: (wave: number) => boolean;
  readonly breach?: NonNullable<RolloutStatus['breach']>;
  readonly revert?: RevertState;
}
