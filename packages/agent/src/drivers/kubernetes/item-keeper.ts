import { StatusError } from '@selvedge/api';
import type { DriverItem, DriverReport } from '../driver.ts';
import { itemState, type Problem } from '../item-state.ts';
import { Activation } from './activation.ts';
import { ApplySetParent } from './apply/apply-set-parent.ts';
import { applySetOf } from './apply/apply-set.ts';
import { problemOf } from './apply/apply-problem.ts';
import { driftedOf, DriftCorrections, shownDriftOf } from './apply/drift-corrections.ts';
import { StuckPods } from './apply/stuck-pods.ts';
import { findProblem, formerNotRemoved, notObserved } from './observation-problem.ts';
import { isCurrent, trialMs, withFinishedJobs } from './observation-view.ts';
import type { ItemObservation, TrackedItem } from './observe/observer.ts';
import { Preparation } from './preparation.ts';
import { applicationOf } from '../resolve-for-site.ts';
import { type Plan, type PlanValues, ReleasePlans } from './release/release-plans.ts';
import { usableLogins } from './release/pull-secrets.ts';
import { renewPulls } from './renew-pulls.ts';
import { completeRecord, runningDigest } from './state/record-facts.ts';
import {
  applyTask,
  correctTask,
  loadTask,
  prepareTask,
  recoverTask,
  type SiteCluster,
  tellTask,
} from './site-cluster.ts';
import { type ItemRecord, recoveredRef, type ReleaseRef, refOf, releaseKey } from './state/item-record.ts';

/** A healthy release is called degraded when it was not whole for so long: pods come and go. */
const degradedAfterMs = 10_000;
/** Until all objects of an item were looked at after a start; then it is said that they were not. */
const firstLookMs = 60_000;

/** Keeps one item as it is wanted: prepares its release, applies it, puts back what others change, and says where it stands. */
export class ItemKeeper {
  readonly record: ItemRecord;
  readonly #site: SiteCluster;
  readonly #plans: ReleasePlans;
  readonly #parent: ApplySetParent;
  readonly #preparation: Preparation;
  readonly #activation: Activation;
  readonly #corrections = new DriftCorrections();
  readonly #stuckPods: StuckPods;
  #wanted: DriverItem | undefined;
  #wantedSince = 0;
  readonly #startedAt: number;
  #activeSince: number;
  #isKnown: boolean;
  /** What is in force was learned from the cluster. */
  #isRecovered = false;
  #isPrepared = false;
  /** The wanted release passed its preparation. */
  #isTried = false;
  #isBlocked = false;
  /** Why the content of the active release cannot be read. */
  #loadError: string | undefined;
  #observation: ItemObservation | undefined;
  /** Whether all of it is as it should be, and since when. */
  #whole: { readonly isWhole: boolean; readonly since: number } | undefined;
  #isCalledHealthy: boolean;
  #wakeAt = Number.POSITIVE_INFINITY;

  /** `isNew`: nothing was remembered of it; the cluster may know more. */
  constructor(record: ItemRecord, site: SiteCluster, { isNew }: { isNew: boolean }) {
    const set = applySetOf(record.id, site.namespace);
    this.record = record;
    this.#site = site;
    this.#isKnown = !isNew;
    this.#isCalledHealthy = record.hasSucceeded && record.reported?.state === 'Running';
    this.#startedAt = site.clock.now().getTime();
    this.#activeSince = this.#startedAt;
    this.#plans = new ReleasePlans(site.cluster.api, set.id);
    this.#parent = new ApplySetParent(site, set);
    this.#preparation = new Preparation({ record, site, set, plans: this.#plans, parent: this.#parent });
    this.#activation = new Activation(record, site, set);
    this.#stuckPods = new StuckPods(site, record.uid);
  }

  /** When to look again although nothing happens (ms). */
  get wakeAt(): number {
    return this.#wakeAt;
  }

  /** What is to be watched: the release in force, once all of it was applied. */
  tracked(): TrackedItem | undefined {
    const plan = this.#activePlan;
    if (plan === undefined || !this.#isApplied) return undefined;
    return {
      uid: this.record.uid,
      namespace: applicationOf(this.record.id).namespace,
      objects: plan.objects,
      rules: plan.rules.apply ?? {},
    };
  }

  want(item: DriverItem, now: number): void {
    const before = this.#wanted;
    this.#wanted = item;
    const isSameRelease =
      before && releaseKey(refOf(before, this.record)) === releaseKey(refOf(item, this.record));
    if (!isSameRelease) this.#preparation.cancel();
    if (isSameRelease && before.item.epoch === item.item.epoch) return;
    this.#wantedSince = now;
    this.#preparation.retry();
    this.#site.tasks.forget(prepareTask(this.record.uid));
  }

  /** The deadline counts from now at the earliest. */
  restartDeadline(now: number): void {
    this.#activeSince = now;
  }

  /** Lets go of the item; what runs goes on. */
  close(): void {
    this.#preparation.cancel();
    this.#activation.cancel();
  }

  /** Begins what is to be done next. `isBlocked`: an application of the same name is still being removed. */
  act(now: number, { isBlocked }: { isBlocked: boolean }): void {
    this.#wakeAt = Number.POSITIVE_INFINITY;
    this.#isBlocked = isBlocked;
    if (isBlocked) return;
    if (!this.#isKnown) {
      this.#site.tasks.begin(recoverTask(this.record.uid), () => this.#recover());
      // Then the preparation tells best what is not allowed.
      if (this.#recoverProblem?.reason === 'Forbidden') this.#prepareWanted(now);
      return;
    }
    this.#prepareWanted(now);
    this.#preparation.bringInBackground();
    this.#converge(now);
    this.#plans.keepOnly([this.record.active, this.#wanted && refOf(this.#wanted, this.record)]);
  }

  /** What the cluster knows of the item, when this agent does not: its disk was lost. */
  async #recover(): Promise<void> {
    const { signal, logger } = this.#site;
    const memory = await this.#parent.read(signal);
    if (memory?.uid === this.record.uid) {
      const { record } = this;
      record.members = await this.#parent.members(memory, signal);
      const { succeeded } = memory;
      if (succeeded !== undefined) record.succeeded = record.toldSucceeded = succeeded;
      const ran = succeeded?.split(' ')[0];
      const wanted = this.#wanted;
      if (wanted?.item.digest === memory.digest) {
        record.active = recoveredRef(wanted, record);
        if (memory.activatedTime !== undefined) record.activatedTime = memory.activatedTime;
        // All of it was there: what was changed since is drift, and dealt with as that.
        if (succeeded === releaseKey(record.active)) {
          record.hasSucceeded = true;
          record.appliedKey = succeeded;
          this.#isRecovered = true;
          this.#isCalledHealthy = true;
        }
      }
      if (ran !== undefined && !record.hasSucceeded) record.previousDigest = ran;
      logger.info('found in the cluster what was forgotten here', {
        item: record.id,
        release: memory.release,
        objects: record.members.length,
      });
    }
    this.#isKnown = true;
  }

  #prepareWanted(now: number): void {
    const wanted = this.#wanted;
    this.#isPrepared = false;
    this.#isTried = false;
    if (!wanted || this.#isWantedActive) {
      this.#preparation.cancel();
      return;
    }
    const plan = this.#preparation.act(wanted);
    const { recheckAt } = this.#preparation;
    if (recheckAt > now) this.#lookAgainAt(recheckAt);
    if (plan === undefined) return;
    this.#isTried = true;
    this.#isPrepared = this.#isKnown;
    const { active, appliedPlan } = this.record;
    if (this.#isApplied && active?.item.digest === wanted.item.digest && appliedPlan === plan.planDigest) {
      // Values changed that this release does not use.
      this.record.active = refOf(wanted, this.record);
      this.record.appliedKey = plan.key;
    } else if (wanted.mayActivate && this.#isKnown) this.#activate(refOf(wanted, this.record));
  }

  #activate(ref: ReleaseRef): void {
    const { clock, logger, tasks } = this.#site;
    const { record } = this;
    if (record.active && record.hasSucceeded) record.previousDigest = record.active.item.digest;
    record.active = ref;
    record.hasSucceeded = false;
    record.activatedTime = clock.now().toISOString();
    delete record.appliedKey;
    delete record.appliedPlan;
    delete record.finished;
    this.#activeSince = clock.now().getTime();
    this.#observation = undefined;
    this.#whole = undefined;
    this.#isCalledHealthy = false;
    this.#corrections.forget();
    this.#activation.cancel();
    for (const key of [prepareTask, applyTask, correctTask]) tasks.forget(key(record.uid));
    logger.info('release activated', { item: record.id, release: ref.item.release });
  }

  #converge(now: number): void {
    const { record } = this;
    const { tasks } = this.#site;
    if (record.active === undefined) return;
    const plan = this.#activePlan;
    if (plan === undefined) {
      const { active } = record;
      if (this.#plans.find(active) === undefined) tasks.begin(loadTask(record.uid), () => this.#load(active));
      return;
    }
    if (!this.#isApplied) {
      tasks.begin(applyTask(record.uid), () => this.#activation.carryOut(plan));
      return;
    }
    this.#renewPulls(plan);
    const seen = this.#site.observer.find(record.uid);
    if (seen !== undefined) this.#observation = withFinishedJobs(record, seen);
    if (this.#observation === undefined) return;
    const isWhole = isCurrent(this.#observation);
    if (this.#whole?.isWhole !== isWhole) this.#whole = { isWhole, since: now };
    this.#isCalledHealthy = this.#judgeHealth(this.#observation, plan, now);
    if (this.#isCalledHealthy && this.#isWantedActive) {
      record.hasSucceeded = true;
      record.succeeded = releaseKey(record.active);
      delete record.isReplacing;
    }
    if (record.succeeded !== record.toldSucceeded) {
      tasks.begin(tellTask(record.uid), () => this.#activation.tellSuccess());
    }
    this.#correct(plan, this.#observation, now);
    this.#lookAgainAt(this.#stuckPods.act(this.#observation, now));
  }

  #correct(plan: Plan, observation: ItemObservation, now: number): void {
    if ((plan.rules.apply?.drift ?? 'Correct') !== 'Correct') return;
    const due = this.#corrections.due(observation, now);
    if (due.length === 0) {
      this.#lookAgainAt(this.#corrections.wakeAt(observation));
      return;
    }
    this.#site.tasks.begin(correctTask(this.record.uid), async () => {
      this.#corrections.note(due, this.#site.clock.now().getTime());
      this.#site.logger.info('putting back what was changed', {
        item: this.record.id,
        objects: due.map(({ kind, name }) => `${kind}/${name}`),
      });
      await this.#activation.correct(plan, due);
    });
  }

  async #load(ref: ReleaseRef): Promise<void> {
    const wanted = this.#wanted;
    const isWanted = wanted?.item.digest === ref.item.digest;
    try {
      const content = isWanted ? await wanted.manifests() : await this.#site.findManifests(ref.item.digest);
      if (content === undefined) throw new Error(`the content of ${ref.item.release} is not here`);
      const values = this.#valuesOf(ref);
      if (values === undefined) throw new Error(`Secrets of ${ref.item.release} are not here`);
      this.#loadError = undefined;
      const { plan } = await this.#plans.make({ ...ref, ...values }, content, this.record.members);
      if (plan === undefined || !this.#isRecovered) return;
      this.#isRecovered = false;
      completeRecord(this.record, plan.objects);
    } catch (error) {
      // Also the API's faults come here; those are no lack of content.
      if (!(error instanceof StatusError))
        this.#loadError = error instanceof Error ? error.message : String(error);
      throw error;
    }
  }

  /** Of the release in force; logins are those of now. */
  #valuesOf(ref: ReleaseRef): PlanValues | undefined {
    const { logins = [] } = this.#wanted ?? {};
    const secrets = this.#site.findSecrets(ref.item.id, ref.secretVersions ?? {});
    return secrets && { secrets, logins: usableLogins({ registries: ref.pulls ?? [], logins }) };
  }

  #renewPulls(plan: Plan): void {
    const { active } = this.record;
    const logins = active && this.#valuesOf(active)?.logins;
    if (active === undefined || logins === undefined) return;
    renewPulls(plan, {
      record: this.record,
      site: this.#site,
      logins,
      replan: () => this.#load(active).then(() => this.#plans.planOf(active)),
      apply: (renewed, { refs }) => this.#activation.add(renewed, refs),
    });
  }

  /** Undefined while nothing is wanted (an item that is only known from before a restart). */
  report(runtimeProblem: Problem | undefined): Omit<DriverReport, 'observedTime'> | undefined {
    const wanted = this.#wanted;
    if (!wanted) return undefined;
    const { record } = this;
    const ref = refOf(wanted, this.record);
    const key = releaseKey(ref);
    const now = this.#site.clock.now();
    const before = record.reported;
    const isSameAssignment = before?.key === key && before.epoch === wanted.item.epoch;
    const isActive = this.#isWantedActive;
    const hasSucceeded = isActive && record.hasSucceeded;
    const { deadlineSeconds } = wanted.item;
    const since = Math.max(this.#activeSince, this.#wantedSince);
    const deadlineAt = isActive ? since + deadlineSeconds * 1000 : Number.POSITIVE_INFINITY;
    if (!hasSucceeded && deadlineAt > now.getTime()) this.#lookAgainAt(deadlineAt);
    if (this.#isFirstLook(now.getTime(), hasSucceeded)) return undefined;
    const { refusal } = this.#preparation;
    const contentError = isActive ? this.#loadError : this.#preparation.contentError;
    const said = itemState({
      hasContent: contentError === undefined && this.#hasContent,
      refusal: isActive ? this.#plans.find(ref)?.refusal : refusal,
      isPrepared: this.#isPrepared,
      isActive,
      isHealthy: this.#isApplied && this.#isCalledHealthy && this.#observation !== undefined,
      hasSucceeded,
      before: isSameAssignment ? before : undefined,
      isOverdue: now.getTime() >= deadlineAt,
      deadlineSeconds,
      problem: this.#problem(),
      contentProblem: this.#isBlocked
        ? formerNotRemoved
        : contentError === undefined
          ? this.#problem()
          : { reason: 'ContentMissing', message: contentError, isLasting: false },
      runtimeProblem,
    });
    const sinceTime = isSameAssignment && before.state === said.state ? before.sinceTime : now.toISOString();
    const { id, uid, epoch, release, digest } = wanted.item;
    const { logs, ...rest } = said;
    record.reported = { key, epoch, ...said, sinceTime };
    const running = runningDigest(this.record, this.#observation?.pods);
    const pods = this.#observation?.pods;
    const progress = isActive ? undefined : this.#preparation.progress;
    const drift = isActive ? this.#shownDrift() : [];
    const { activatedTime } = record;
    return {
      id,
      uid,
      epoch,
      release,
      digest,
      ...rest,
      ...(logs ? { logs: [...logs] } : {}),
      sinceTime,
      ...(running === undefined ? {} : { runningDigest: running }),
      ...(pods ? { pods: { ...pods } } : {}),
      ...(progress ? { progress } : {}),
      ...(isActive && activatedTime !== undefined ? { activatedTime } : {}),
      ...(drift.length > 0 ? { drift } : {}),
    };
  }

  /** After a restart what was said before holds until the objects were looked at. */
  #isFirstLook(now: number, hasSucceeded: boolean): boolean {
    if (!hasSucceeded || this.#observation !== undefined || this.#loadError !== undefined) return false;
    const until = this.#startedAt + firstLookMs;
    if (now >= until) return false;
    this.#lookAgainAt(until);
    return true;
  }

  /** Not at the first good moment, and not at the first bad one. */
  #judgeHealth(observation: ItemObservation, plan: Plan, now: number): boolean {
    const { isWhole, since } = this.#whole ?? { isWhole: false, since: now };
    if (isWhole === this.#isCalledHealthy) return isWhole;
    const { id, activatedTime } = this.record;
    const isLasting =
      findProblem(observation, applicationOf(id).namespace, activatedTime)?.isLasting === true;
    if (!isWhole && (isLasting || !this.record.hasSucceeded)) return false;
    const changesAt = since + (isWhole ? trialMs(plan) : degradedAfterMs);
    if (now >= changesAt) return isWhole;
    this.#lookAgainAt(changesAt);
    return this.#isCalledHealthy;
  }

  #problem(): Problem | undefined {
    const { tasks } = this.#site;
    const { uid, id, activatedTime } = this.record;
    if (this.#isBlocked) return formerNotRemoved;
    const failureOf = (key: string): Problem | undefined => {
      const failure = tasks.failureOf(key);
      return failure && problemOf(failure.error);
    };
    const recovering = this.#recoverProblem;
    if (recovering !== undefined && this.#isRecoverTold) return recovering;
    // While another release is prepared, what ails the one in force is not that one's fault.
    if (!this.#isWantedActive) return failureOf(prepareTask(uid));
    const acting = failureOf(applyTask(uid)) ?? failureOf(loadTask(uid)) ?? failureOf(correctTask(uid));
    if (acting !== undefined) return acting;
    if (this.#observation === undefined) return this.record.hasSucceeded ? notObserved : undefined;
    return findProblem(this.#observation, applicationOf(id).namespace, activatedTime);
  }

  #shownDrift(): string[] {
    const plan = this.#activePlan;
    if (plan === undefined || this.#observation === undefined) return [];
    const policy = plan.rules.apply?.drift ?? 'Correct';
    if (policy === 'Ignore') return [];
    const drifted = driftedOf(this.#observation);
    const fought = this.#corrections.fought();
    if (policy === 'Report') return shownDriftOf(drifted, this.record.id, fought);
    const isStuck = this.#site.tasks.failureOf(correctTask(this.record.uid)) !== undefined;
    const lasting = drifted.filter(({ ref }) => isStuck || this.#corrections.isFought(ref));
    return shownDriftOf(lasting, this.record.id, fought);
  }

  get #recoverProblem(): Problem | undefined {
    const failure = this.#site.tasks.failureOf(recoverTask(this.record.uid));
    return this.#isKnown ? undefined : failure && problemOf(failure.error);
  }

  /** Of what is not allowed the preparation tells more, so it comes first. */
  get #isRecoverTold(): boolean {
    const problem = this.#recoverProblem;
    return problem !== undefined && (problem.reason !== 'Forbidden' || this.#isTried);
  }

  /** As far as is known: what cannot be asked of the cluster comes before the content is read. */
  get #hasContent(): boolean {
    return this.#isWantedActive || this.#isRecoverTold || this.#preparation.hasContent;
  }

  get #isWantedActive(): boolean {
    const { active } = this.record;
    if (this.#wanted === undefined || active === undefined) return false;
    return releaseKey(refOf(this.#wanted, this.record)) === releaseKey(active);
  }

  get #isApplied(): boolean {
    const { active, appliedKey } = this.record;
    return active !== undefined && appliedKey === releaseKey(active);
  }

  get #activePlan(): Plan | undefined {
    return this.#plans.planOf(this.record.active);
  }

  #lookAgainAt(time: number): void {
    this.#wakeAt = Math.min(this.#wakeAt, time);
  }
}
