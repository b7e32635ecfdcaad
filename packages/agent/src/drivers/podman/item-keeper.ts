import type { DriverItem, DriverReport } from '../driver.ts';
import { allContainers, type DesiredApp, type DesiredService, type Workload } from './desired-app.ts';
import { type ItemRecord, type ReleaseRef, refOf, releaseKey } from './item-record.ts';
import { itemState, type Problem } from '../item-state.ts';
import type { PodTemplate } from './manifest-model.ts';
import type { ObservedPod } from './observe.ts';
import { labelNames } from './ownership.ts';
import { isComplete, isServing, type PodView, planWorkload } from './plan.ts';
import type { ContainerSurroundings } from './pod-executor.ts';
import { type PodPlan, planPod } from './pod-plan.ts';
import { type PodAction, type PodStatus, podStatus, statusWithoutTemplate } from './pod-status.ts';
import { trialMs } from './pod-trial.ts';
import { Preparation } from './preparation.ts';
import type { ProbeTarget } from './probes/probe-check.ts';
import { ProblemFinder } from './problem-finder.ts';
import { type KnownTemplate, ReleaseLibrary } from './release-library.ts';
import { podTask, prepareTask, serviceTask, type SiteRuntime, type SiteView } from './site-runtime.ts';

/** What a look at the item's pods and Services showed. */
interface Progress {
  /** The release runs and nothing else does. */
  readonly isComplete: boolean;
  /** As many pods as wanted are available. */
  readonly isServing: boolean;
}

const noProgress: Progress = { isComplete: false, isServing: false };
/** A pod that was ready for longer than this when the agent started has been so since its containers started. */
const settledPodMs = 60_000;

/** As many sizes as a report may carry. */
const reportedImages = 50;

/** Keeps one item as it is wanted: prepares its release, brings its pods there step by step, and says where it stands. */
export class ItemKeeper {
  readonly record: ItemRecord;
  readonly #runtime: SiteRuntime;
  readonly #library: ReleaseLibrary;
  readonly #problems: ProblemFinder;
  readonly #readySince = new Map<string, number>();
  #wanted: DriverItem | undefined;
  readonly #preparation: Preparation;
  #wantedSince = 0;
  #activeSince: number;
  #isPrepared = false;
  #pods: readonly ObservedPod[] = [];
  #templates = new Map<string, KnownTemplate>();
  /** Ready or completed. */
  #ready = new Set<string>();
  #serving = new Set<string>();
  #problem: Problem | undefined;
  #progress = noProgress;
  #wakeAt = Number.POSITIVE_INFINITY;

  constructor(record: ItemRecord, runtime: SiteRuntime) {
    this.record = record;
    this.#runtime = runtime;
    this.#activeSince = runtime.clock.now().getTime();
    this.#preparation = new Preparation(record, runtime);
    this.#library = new ReleaseLibrary(runtime);
    this.#problems = new ProblemFinder(runtime.client, runtime.tasks);
  }

  /** Names of pods that are ready for traffic. */
  get servingPods(): ReadonlySet<string> {
    return this.#serving;
  }

  /** What its pods with this hash were made of. */
  findTemplate(hash: string): PodTemplate | undefined {
    return this.#templates.get(hash)?.workload.template;
  }

  /** Services of the release that is in force. */
  get services(): readonly DesiredService[] {
    return this.#activeApp?.services ?? [];
  }

  /** When to look again although nothing happens (ms). */
  get wakeAt(): number {
    return this.#wakeAt;
  }

  want(item: DriverItem, now: number): void {
    const before = this.#wanted;
    this.#wanted = item;
    const isSameRelease = before && releaseKey(refOf(before)) === releaseKey(refOf(item));
    if (!isSameRelease) this.#preparation.cancel();
    if (isSameRelease && before.item.epoch === item.item.epoch) return;
    this.#wantedSince = now;
    this.#runtime.tasks.forget(prepareTask(this.record.uid));
  }

  /** The deadline counts from now at the earliest. */
  restartDeadline(now: number): void {
    this.#activeSince = now;
  }

  /** Lets go of the item; what runs goes on. */
  close(): void {
    this.#preparation.cancel();
  }

  /** Reads the manifests that are needed to understand the item and its pods. */
  async load(view: SiteView): Promise<void> {
    this.#pods = view.pods.filter((pod) => pod.itemUid === this.record.uid && pod.role === 'pod');
    await this.#library.load(this.#wanted, this.record);
    const hashes = new Set(this.#pods.map((pod) => pod.hash));
    this.#library.forget(this.#wanted, { record: this.record, hashes });
    this.#templates = this.#library.templates(this.record);
  }

  /** Containers to be probed. */
  probeTargets(view: SiteView): ProbeTarget[] {
    return this.#pods.flatMap((pod) => {
      const containers = this.#templates.get(pod.hash)?.workload.template.spec.containers;
      const podIP = view.addresses.get(pod.infra?.id ?? '');
      const infraPid = pod.infra?.pid;
      if (!containers || infraPid === undefined || podIP === undefined) return [];
      return pod.containers.flatMap(({ id, name, state, startedAt }) => {
        const container = containers.find((c) => c.name === name);
        const isRunning = container && state === 'running';
        return isRunning ? [{ containerId: id, container, infraPid, podIP, startedAt }] : [];
      });
    });
  }

  /** Begins what is to be done next. */
  async act(view: SiteView): Promise<void> {
    this.#wakeAt = Number.POSITIVE_INFINITY;
    await this.#prepareWanted(view);
    const statuses = new Map(this.#pods.map((pod) => [pod.name, this.#statusOf(pod, view.now)]));
    this.#noteReadiness(statuses, view.now);
    this.#problem = await this.#findProblem(statuses);
    for (const pod of this.#pods) this.#actOnPod(pod, { action: statuses.get(pod.name)?.action, view });
    const { active } = this.record;
    this.#progress =
      this.#activeApp && active ? this.#converge(this.#activeApp, { item: active.item, view }) : noProgress;
    if (this.#progress.isComplete && this.#isWantedActive) this.record.hasSucceeded = true;
  }

  /** Prepares what is wanted and, when that may be, puts it in force. */
  async #prepareWanted(view: SiteView): Promise<void> {
    const wanted = this.#wanted;
    this.#isPrepared = false;
    if (!wanted || this.#isWantedActive) {
      this.#preparation.cancel();
      return;
    }
    const app = this.#library.appOf(refOf(wanted));
    if (!app) return;
    this.#isPrepared = await this.#preparation.act(wanted, app, view);
    if (this.#isPrepared) this.#lookAgainAt(this.#preparation.recheckAt);
    if (!this.#isPrepared || !wanted.mayActivate) return;
    this.#activate(refOf(wanted), app);
    // Its pods may be here already, but are not probed yet.
    this.#lookAgainAt(view.now);
  }

  #activate(ref: ReleaseRef, app: DesiredApp): void {
    const { active } = this.record;
    const { clock, logger, names, tasks } = this.#runtime;
    if (active) this.record.earlier = [active, ...this.record.earlier];
    this.record.active = ref;
    this.record.hasSucceeded = false;
    this.record.activatedTime = clock.now().toISOString();
    const volumes = app.claims.map((claim) => {
      const [namespace = '', name = ''] = claim.split('/');
      return names.claimVolume(namespace, name);
    });
    this.record.claimVolumes = [...new Set([...(this.record.claimVolumes ?? []), ...volumes])];
    this.#activeSince = clock.now().getTime();
    this.#templates = this.#library.templates(this.record);
    tasks.forget(prepareTask(this.record.uid));
    logger.info('release activated', { item: this.record.id, release: ref.item.release });
  }

  #statusOf(pod: ObservedPod, now: number): PodStatus {
    const known = this.#templates.get(pod.hash);
    if (!known) return statusWithoutTemplate(pod);
    const { prober, backoff } = this.#runtime;
    const { spec } = known.workload.template;
    const status = podStatus(pod, { spec, probes: (id) => prober.stateOf(id), backoff, now });
    this.#lookAgainAt(status.wakeAt);
    return status;
  }

  #noteReadiness(statuses: ReadonlyMap<string, PodStatus>, now: number): void {
    this.#ready = new Set(this.#pods.map((pod) => pod.name).filter((name) => statuses.get(name)?.isReady));
    this.#serving = new Set([...this.#ready].filter((name) => !statuses.get(name)?.isCompleted));
    for (const name of this.#readySince.keys()) if (!this.#ready.has(name)) this.#readySince.delete(name);
    for (const pod of this.#pods) {
      if (!this.#ready.has(pod.name) || this.#readySince.has(pod.name)) continue;
      const started = Math.max(0, ...pod.containers.map((container) => container.startedAt));
      this.#readySince.set(pod.name, now - started > settledPodMs ? started : now);
    }
  }

  async #findProblem(statuses: ReadonlyMap<string, PodStatus>): Promise<Problem | undefined> {
    const { names, isLeaving } = this.#runtime;
    const app = this.#activeApp;
    const hashes = new Set(app?.workloads.map((workload) => workload.hash));
    const planned = (app?.workloads ?? []).flatMap((workload) =>
      Array.from({ length: workload.replicas }, (_, index) => names.pod(workload, index)),
    );
    const podNames = new Set([...planned, ...this.#pods.map((pod) => pod.name)]);
    // While another release is prepared, what ails the one in force is not that one's fault.
    if (this.#wanted && !this.#isWantedActive) {
      return await this.#problems.find([prepareTask(this.record.uid)], []);
    }
    const keys = [
      ...(app?.services ?? []).map((service) => serviceTask(service.key)),
      ...[...podNames].map(podTask),
    ];
    const suspects = this.#pods.flatMap((pod) => {
      const status = statuses.get(pod.name);
      return status && !isLeaving(pod.name) ? [{ pod, status, isCurrent: hashes.has(pod.hash) }] : [];
    });
    return await this.#problems.find(keys, suspects);
  }

  #actOnPod(pod: ObservedPod, { action, view }: { action: PodAction | undefined; view: SiteView }): void {
    const { tasks, executor, isLeaving } = this.#runtime;
    if (!action || isLeaving(pod.name)) return;
    const known = this.#templates.get(pod.hash);
    tasks.begin(podTask(pod.name), async () => {
      if (known) await this.#carryOut(action, { pod, plan: this.#planOf(known, pod.index), view });
      else await executor.startAsItIs(pod);
    });
  }

  async #carryOut(
    action: PodAction,
    { pod, plan, view }: { pod: ObservedPod; plan: PodPlan; view: SiteView },
  ): Promise<void> {
    const { executor, backoff, logger } = this.#runtime;
    switch (action.type) {
      case 'RecreatePod':
        await executor.recreatePod(pod, plan);
        break;
      case 'StopContainer':
        logger.info('restarting container', {
          item: this.record.id,
          container: action.container.name,
          reason: action.why,
        });
        await executor.stopContainer(action.container);
        break;
      case 'StartContainer':
        await this.#startContainer(plan, {
          name: action.container,
          predecessor: pod.containers.find((container) => container.name === action.container),
          podIP: view.addresses.get(pod.infra?.id ?? '') ?? '',
        });
        if (action.ended) backoff.recordRestart(`${pod.name}/${action.container}`, action.ended);
        break;
    }
  }

  async #startContainer(
    plan: PodPlan,
    { name, ...found }: { name: string } & ContainerSurroundings,
  ): Promise<void> {
    const { executor, images, signal } = this.#runtime;
    const { spec } = plan.workload.template;
    const container = allContainers(spec).find((c) => c.name === name);
    if (!container) return;
    if (!(await images.has(container.image))) await images.ensure(plan.app, signal);
    const image = await this.#preparation.imageFor(plan.labels[labelNames.digest], container.image);
    await executor.startContainer(plan, { ...container, image }, found);
  }

  /** Services first, then pods; what the release does not have any more goes last. */
  #converge(app: DesiredApp, { item, view }: { item: ReleaseRef['item']; view: SiteView }): Progress {
    const areServicesThere = this.#convergeServices(app, { item, view });
    // After a boot pods do not wait for a port that somebody took meanwhile.
    const mayCreate = areServicesThere || this.record.hasSucceeded;
    const each = app.workloads.map((workload) => this.#convergeWorkload(workload, { app, mayCreate }));
    const serving = areServicesThere && each.every((progress) => progress.isServing);
    const arrived = areServicesThere && each.every((progress) => progress.isComplete);
    return { isServing: serving, isComplete: arrived && this.#removeLeftovers(app, view) };
  }

  #convergeServices(app: DesiredApp, { item, view }: { item: ReleaseRef['item']; view: SiteView }): boolean {
    const { services, tasks } = this.#runtime;
    const absent = app.services.filter((service) => {
      const pod = view.pods.find((p) => p.role === 'service' && p.service === service.key);
      if (service.isHeadless || services.isCurrent(service, item, pod)) return false;
      tasks.begin(serviceTask(service.key), async () => {
        await services.assertAvailable([service], item, view.pods);
        await services.ensure(service, item, pod);
      });
      return true;
    });
    return absent.length === 0;
  }

  #convergeWorkload(
    workload: Workload,
    { app, mayCreate }: { app: DesiredApp; mayCreate: boolean },
  ): Progress {
    const { tasks, executor } = this.#runtime;
    const views = this.#pods
      .filter((pod) => pod.workload === workload.key)
      .map((pod) => this.#viewOf(pod, workload));
    for (const step of planWorkload(workload, views)) {
      if (step.type === 'RemovePod') this.#retire(step.name);
      else if (mayCreate && this.record.active) {
        const plan = this.#planOf({ workload, app, ref: this.record.active }, step.index);
        tasks.begin(podTask(plan.name), () => executor.createPod(plan));
      }
    }
    return { isComplete: isComplete(workload, views), isServing: isServing(workload, views) };
  }

  #viewOf(pod: ObservedPod, workload: Workload): PodView {
    const since = this.#readySince.get(pod.name);
    const availableAt =
      since === undefined ? Number.POSITIVE_INFINITY : since + trialMs(pod, workload, this.#runtime.backoff);
    const now = this.#runtime.clock.now().getTime();
    if (availableAt > now) this.#lookAgainAt(availableAt);
    return {
      name: pod.name,
      hash: pod.hash,
      index: pod.index,
      isAvailable: availableAt <= now,
      isLeaving: this.#runtime.isLeaving(pod.name),
    };
  }

  /** True when nothing is left that the release does not have. */
  #removeLeftovers(app: DesiredApp, view: SiteView): boolean {
    const { services, tasks } = this.#runtime;
    const workloads = new Set(app.workloads.map((workload) => workload.key));
    const pods = this.#pods.filter((pod) => !workloads.has(pod.workload));
    for (const pod of pods) this.#retire(pod.name);
    const wanted = new Set(app.services.filter((s) => !s.isHeadless).map((service) => service.key));
    const surplus = view.pods.filter(
      (pod) => pod.role === 'service' && pod.itemUid === this.record.uid && !wanted.has(pod.service),
    );
    for (const pod of surplus) tasks.begin(serviceTask(pod.service), () => services.remove(pod));
    return pods.length === 0 && surplus.length === 0;
  }

  #retire(name: string): void {
    const { tasks, retirePod, backoff } = this.#runtime;
    const pod = this.#pods.find((p) => p.name === name);
    if (!pod) return;
    tasks.begin(podTask(name), async () => {
      await retirePod(pod);
      backoff.forget(`${name}/`);
    });
  }

  /** Undefined while nothing is wanted (an item that is only known from before a restart). */
  report(runtimeProblem: Problem | undefined): Omit<DriverReport, 'observedTime'> | undefined {
    const wanted = this.#wanted;
    if (!wanted) return undefined;
    const ref = refOf(wanted);
    const now = this.#runtime.clock.now();
    const before = this.record.reported;
    const isSameAssignment = before?.key === releaseKey(ref) && before.epoch === wanted.item.epoch;
    const { deadlineAt, deadlineSeconds } = this.#deadline(wanted);
    const hasSucceeded = this.#isWantedActive && this.record.hasSucceeded;
    if (!hasSucceeded && deadlineAt > now.getTime()) this.#lookAgainAt(deadlineAt);
    const isActive = this.#isWantedActive;
    const prepared = this.#preparation.find(releaseKey(ref));
    const progress = isActive ? undefined : this.#preparation.progressOf(releaseKey(ref));
    const { contentError } = this.#library;
    const said = itemState({
      hasContent: this.#library.has(ref),
      refusal: this.#library.refusalOf(ref),
      isPrepared: this.#isPrepared,
      isActive,
      isHealthy: hasSucceeded ? this.#progress.isServing : this.#progress.isComplete,
      hasSucceeded,
      before: isSameAssignment ? before : undefined,
      isOverdue: now.getTime() >= deadlineAt,
      deadlineSeconds,
      problem: this.#problem,
      contentProblem:
        contentError === undefined
          ? undefined
          : { reason: 'ContentMissing', message: contentError, isLasting: false },
      runtimeProblem,
    });
    const sinceTime = isSameAssignment && before.state === said.state ? before.sinceTime : now.toISOString();
    const { id, uid, epoch, release, digest } = wanted.item;
    const { logs, ...rest } = said;
    this.record.reported = { key: releaseKey(ref), epoch, ...said, sinceTime };
    const runningDigest = this.#runningDigest();
    const pods = this.#podCounts(this.#activeApp);
    const images = (isActive || this.#isPrepared ? prepared?.images : undefined)?.slice(0, reportedImages);
    const { activatedTime } = this.record;
    return {
      id,
      uid,
      epoch,
      release,
      digest,
      ...rest,
      ...(logs ? { logs: [...logs] } : {}),
      sinceTime,
      ...(runningDigest === undefined ? {} : { runningDigest }),
      ...(pods ? { pods } : {}),
      ...(progress ? { progress } : {}),
      ...(isActive && activatedTime !== undefined ? { activatedTime } : {}),
      ...(images ? { images: images.map(({ name, sizeBytes }) => ({ name, sizeBytes })) } : {}),
    };
  }

  /**
   * Counts from activation (or the start of the agent, or when the same release was assigned once more, whichever was last);
   * preparing has no deadline here.
   */
  #deadline({ item }: DriverItem): { deadlineAt: number; deadlineSeconds: number } {
    const ofWorkloads = (this.#activeApp?.workloads ?? []).map((w) => w.progressDeadlineSeconds);
    const deadlineSeconds = Math.min(item.deadlineSeconds, ...ofWorkloads);
    const since = Math.max(this.#activeSince, this.#wantedSince);
    const deadlineAt = this.#isWantedActive ? since + deadlineSeconds * 1000 : Number.POSITIVE_INFINITY;
    return { deadlineAt, deadlineSeconds };
  }

  #podCounts(app: DesiredApp | undefined): { wanted: number; ready: number } | undefined {
    if (!app) return undefined;
    const hashes = new Set(app.workloads.map((workload) => workload.hash));
    return {
      wanted: app.workloads.reduce((sum, workload) => sum + workload.replicas, 0),
      ready: this.#pods.filter((pod) => hashes.has(pod.hash) && this.#ready.has(pod.name)).length,
    };
  }

  /** The older release as long as one of its pods serves. */
  #runningDigest(): string | undefined {
    const hashes = new Set(this.#activeApp?.workloads.map((workload) => workload.hash));
    const serving = this.#pods.filter(
      (pod) => this.#ready.has(pod.name) && !this.#runtime.isLeaving(pod.name),
    );
    const older = serving.find((pod) => !hashes.has(pod.hash));
    return older?.digest ?? (serving.length > 0 ? this.record.active?.item.digest : undefined);
  }

  get #isWantedActive(): boolean {
    const { active } = this.record;
    return (
      this.#wanted !== undefined &&
      active !== undefined &&
      releaseKey(refOf(this.#wanted)) === releaseKey(active)
    );
  }

  get #activeApp(): DesiredApp | undefined {
    return this.#library.appOf(this.record.active);
  }

  #lookAgainAt(time: number | undefined): void {
    if (time !== undefined) this.#wakeAt = Math.min(this.#wakeAt, time);
  }

  #planOf({ workload, app, ref }: KnownTemplate, index: number): PodPlan {
    const { names, site } = this.#runtime;
    return planPod(workload, index, { names, site, item: ref.item, app });
  }
}
