import type { DesiredItem, ReleaseName, SitePolicy, Waiting } from '@selvedge/api';
import type { DriverReport } from '../drivers/driver.ts';
import type { ItemMemory, Verdict } from './item-memory.ts';
import type { Hold } from './may-activate.ts';

/** What the driver is told of one item. */
export interface Given extends ReleaseName {
  readonly epoch: number;
  readonly deadlineSeconds: number;
  readonly mayFetch: boolean;
  readonly mayActivate: boolean;
}

/** What is known of the driver since the agent started; not kept across restarts. */
export interface DriverView {
  readonly given?: Given;
  /** The newest word on what is given; from before its epoch changed too. */
  readonly said?: DriverReport;
  /** What the driver last saw running, whatever was given. */
  readonly runs?: Pick<DriverReport, 'runningDigest' | 'pods'>;
  /** The driver was seen to have the active release in force. */
  readonly hasActive: boolean;
  /** How long that was waited for. */
  readonly bringingBackMs: number;
  /** Which deadlines run until the next decision. */
  readonly counts: { readonly preparing: boolean; readonly activating: boolean };
}

/** The driver has spoken. A late word on what was given before tells only what runs. */
export function hear(driver: DriverView, report: DriverReport): DriverView {
  const { runningDigest, pods } = report;
  const runs = {
    ...(runningDigest === undefined ? {} : { runningDigest }),
    ...(pods === undefined ? {} : { pods }),
  };
  const isOfNow = driver.given?.digest === report.digest && driver.given.epoch === report.epoch;
  return { ...driver, runs, ...(isOfNow ? { said: report } : {}) };
}

export const countsNothing = { preparing: false, activating: false };
export const freshDriver: DriverView = { hasActive: false, bringingBackMs: 0, counts: countsNothing };

export interface ItemFacts {
  /** By the hub's clock. */
  readonly now: Date;
  /** Since the last decision, by a clock that does not jump. */
  readonly elapsedMs: number;
  /** Absent: it is not in the desired state, or an order to remove it is on hold. */
  readonly target: DesiredItem | undefined;
  readonly memory: ItemMemory;
  readonly driver: DriverView;
  readonly policy: SitePolicy;
  readonly hold: Hold | undefined;
  /** The hub answers. */
  readonly isInContact: boolean;
  /** The driver can look at the machine. */
  readonly isLooking: boolean;
  readonly hasContent: (digest: string) => boolean;
  /** The hub said that it does not have it any more. */
  readonly isLost: (digest: string) => boolean;
}

/** Where the item stands; with what the driver says it makes the report. */
export type Phase =
  /** The wanted release is the active one: the driver's word counts. */
  | { readonly kind: 'Active'; readonly isOverdue: boolean }
  | { readonly kind: 'WentBack'; readonly verdict: Verdict }
  /** The driver has to get the active release first. */
  | { readonly kind: 'BringingBack' }
  /** Manifests are not here. */
  | { readonly kind: 'Fetching'; readonly waiting?: Waiting }
  | { readonly kind: 'Preparing'; readonly waiting?: Waiting; readonly isOverdue: boolean }
  | { readonly kind: 'Prepared'; readonly waiting: Waiting }
  | { readonly kind: 'NotWanted' };

export interface WentBack {
  readonly from: ReleaseName;
  readonly to: ReleaseName;
  readonly verdict: Verdict;
}

export interface ItemDecision {
  readonly memory: ItemMemory;
  readonly driver: DriverView;
  readonly phase: Phase;
  /** When to decide again, whatever happens or not: by the hub's clock, and in so much time. */
  readonly wakeAt?: Date;
  readonly wakeInMs?: number;
  /** Activated by this decision. */
  readonly activated?: ReleaseName;
  readonly wentBack?: WentBack;
}

/** The driver's report, when it speaks of exactly what it was given. */
export function saidOfGiven({ given, said }: DriverView): DriverReport | undefined {
  return given !== undefined && said?.epoch === given.epoch && said.digest === given.digest
    ? said
    : undefined;
}

/** The driver has switched to what it speaks of. */
export function isInForce({ state, activatedTime }: DriverReport): boolean {
  return (
    state === 'Activating' ||
    state === 'Running' ||
    state === 'Degraded' ||
    (state === 'Failed' && activatedTime !== undefined)
  );
}

export function isActive(target: DesiredItem, memory: ItemMemory): boolean {
  return memory.active?.digest === target.digest;
}
