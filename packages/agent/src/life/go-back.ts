import type { ReleaseName } from '@selvedge/api';
import { type DriverView, type ItemFacts, saidOfGiven, type WentBack } from './item-facts.ts';
import { type ActiveRelease, type ItemMemory, type Verdict, withVerdict } from './item-memory.ts';

/** Takes back an active release that does not become healthy; remembers it also where there is nothing to go back to. */
export function judge(facts: ItemFacts): { facts: ItemFacts; wentBack?: WentBack } {
  const { memory } = facts;
  const { active } = memory;
  if (active === undefined || active.isProven) return { facts };
  const verdict = findFailure(facts, active);
  if (verdict === undefined) return { facts };
  const isKnown = memory.verdicts.some((v) => v.digest === verdict.digest && v.attempt >= verdict.attempt);
  const remembered = isKnown ? memory : withVerdict(memory, verdict);
  const good = findGood({ ...facts, memory: remembered });
  if (good === undefined) return { facts: { ...facts, memory: remembered } };
  return {
    facts: goBack({ ...facts, memory: remembered }, good),
    wentBack: { from: { release: active.release, digest: active.digest }, to: good, verdict },
  };
}

function findFailure(facts: ItemFacts, active: ActiveRelease): Verdict | undefined {
  const { driver, memory, now } = facts;
  const said = saidOfGiven(driver);
  const isGivenToRun = driver.given?.digest === active.digest && driver.given.mayActivate;
  const isOverdue = memory.activatingMs >= active.deadlineSeconds * 1000;
  const isFailed = isGivenToRun && said?.state === 'Failed';
  const isHealthy = isGivenToRun ? said?.state === 'Running' : runsWhole(driver, active);
  if (!isFailed && (!isOverdue || isHealthy || said === undefined)) return undefined;
  const own = isGivenToRun ? said : undefined;
  return {
    release: active.release,
    digest: active.digest,
    attempt: active.attempt,
    kind: 'Unhealthy',
    reason: (isFailed ? own?.reason : undefined) ?? own?.reason ?? 'DeadlineExceeded',
    message: own?.message ?? `not healthy within ${active.deadlineSeconds} seconds after it was activated`,
    ...(own?.logs === undefined ? {} : { logs: own.logs }),
    time: now.toISOString(),
    ...(active.activatedTime === undefined ? {} : { activatedTime: active.activatedTime }),
  };
}

/** While the next release is prepared, only what truly runs tells how the active one is: all of it has to. */
function runsWhole({ runs }: DriverView, { digest }: ActiveRelease): boolean {
  return runs?.runningDigest === digest && (runs.pods === undefined || runs.pods.ready >= runs.pods.wanted);
}

/** Where to go back to from the active release: what proved itself here last, else what the hub knows of. */
export function findGood(
  facts: Pick<ItemFacts, 'memory' | 'target' | 'hasContent'>,
): ReleaseName | undefined {
  const { memory, target, hasContent } = facts;
  const isUsable = (release: ReleaseName) =>
    release.digest !== memory.active?.digest &&
    !memory.verdicts.some(({ digest }) => digest === release.digest) &&
    hasContent(release.digest);
  const fallback = target?.terms.fallback;
  return [...memory.goods, ...(fallback === undefined ? [] : [fallback])].find(isUsable);
}

/** The same facts with `good` as what is active. */
function goBack(facts: ItemFacts, good: ReleaseName): ItemFacts {
  const { memory, target, driver } = facts;
  const { release, digest } = good;
  const { given: _given, said: _said, ...rest } = driver;
  const active: ActiveRelease = {
    release,
    digest,
    epoch: target?.epoch ?? memory.active?.epoch ?? 0,
    attempt: 0,
    deadlineSeconds: memory.active?.deadlineSeconds ?? target?.deadlineSeconds ?? 600,
    isProven: true,
  };
  return {
    ...facts,
    memory: { ...memory, active, activatingMs: 0 },
    driver: { ...rest, hasActive: false, bringingBackMs: 0 },
  };
}

/** A person at the site takes back what is active. Undefined: there is nothing to go back to. */
export function rollBack(
  facts: ItemFacts,
  why: { reason: string; message: string },
): { memory: ItemMemory; driver: DriverView; wentBack: WentBack } | undefined {
  const { active } = facts.memory;
  const good = active && findGood(facts);
  if (active === undefined || good === undefined) return undefined;
  const verdict: Verdict = {
    release: active.release,
    digest: active.digest,
    attempt: Math.max(active.attempt, attemptOfTarget(facts, active.digest)),
    kind: 'RolledBackBySite',
    ...why,
    time: facts.now.toISOString(),
    ...(active.activatedTime === undefined ? {} : { activatedTime: active.activatedTime }),
  };
  const { memory, driver } = goBack({ ...facts, memory: withVerdict(facts.memory, verdict) }, good);
  return {
    memory,
    driver,
    wentBack: { from: { release: active.release, digest: active.digest }, to: good, verdict },
  };
}

function attemptOfTarget({ target }: ItemFacts, digest: string): number {
  return target?.digest === digest ? target.terms.attempt : 0;
}

/** Nothing is known of what ran here (its disk was lost): what the hub knows to have proved itself comes back first. */
export function recover(facts: ItemFacts): ItemFacts {
  const { memory, target } = facts;
  const fallback = target?.terms.fallback;
  if (target === undefined || memory.active !== undefined || fallback === undefined) return facts;
  if (facts.isLost(fallback.digest) || memory.verdicts.some(({ digest }) => digest === fallback.digest)) {
    return facts;
  }
  const active: ActiveRelease = {
    release: fallback.release,
    digest: fallback.digest,
    epoch: target.epoch,
    attempt: fallback.digest === target.digest ? target.terms.attempt : 0,
    deadlineSeconds: target.deadlineSeconds,
    isProven: true,
  };
  const goods = memory.goods.some(({ digest }) => digest === fallback.digest)
    ? memory.goods
    : [{ release: fallback.release, digest: fallback.digest }, ...memory.goods].slice(0, 2);
  return { ...facts, memory: { ...memory, active, goods, activatingMs: 0 } };
}
