import assert from 'node:assert/strict';
import type { RolloutStatus } from '@selvedge/api';
import { checkBudgets } from '../budgets.ts';
import { answerGraceSeconds } from '../deadlines.ts';
import { evidenceOf, isSettled, uptakeOf } from '../evidence.ts';
import { resolveStrategy } from '../resolve-strategy.ts';
import type { PlannedAssignment, RolloutPlan } from '../rollout-input.ts';
import { RolloutView } from '../rollout-view.ts';
import type { RandomWorld } from './random-world.ts';
import { digestOf, type SimulatedFleet } from './simulated-fleet.ts';

/** What holds of every plan, whatever happened before: compared with what the sites truly do. */
export function checkPlan(world: RandomWorld, plan: RolloutPlan, before: RolloutStatus | undefined): void {
  checkBuckets(world, plan);
  checkPassing(world, plan, before);
  checkFailures(world, plan);
  checkAssignments(world, plan);
  checkConcurrency(world, plan);
}

/** Every site is in exactly one bucket; who runs the release has said so of this very assignment. */
function checkBuckets({ fleet, saidRunning }: RandomWorld, { status }: RolloutPlan): void {
  const { sites } = status;
  assert.ok(sites);
  const { wanted, ...buckets } = sites;
  assert.equal(wanted, fleet.sites.size);
  assert.equal(
    Object.values(buckets).reduce((sum, count) => sum + count, 0),
    wanted,
    'every site is in exactly one bucket',
  );
  const truly = fleet.siteNames.filter((name) => {
    const row = fleet.rows.get(name);
    return isOwn(fleet, name) && row !== undefined && saidRunning.has(`${name}/${row.epoch}`);
  });
  assert.ok(sites.running <= truly.length, 'a site counts as running that never said so');
}

/** A wave that passes: everybody in it who is in touch truly ran this release for the soak; and none goes back. */
function checkPassing(
  world: RandomWorld,
  { status, join }: RolloutPlan,
  before: RolloutStatus | undefined,
): void {
  const { fleet } = world;
  const isReverting = status.phase === 'Reverting' || status.phase === 'Reverted';
  const joined = new Map([...fleet.members, ...join.map(({ site, wave }) => [site, wave] as const)]);
  for (const wave of status.waves ?? []) {
    const hadPassed = before?.waves?.find((w) => w.name === wave.name)?.phase === 'Passed';
    if (hadPassed && !isReverting) assert.equal(wave.phase, 'Passed', `wave ${wave.name} went back`);
    if (wave.phase !== 'Passed' || hadPassed || fleet.waivedWaves.has(wave.name)) continue;
    const soakedSince = fleet.now - world.soakSeconds(wave.name) * 1000;
    let proofs = 0;
    for (const [name, of] of joined) {
      if (of !== wave.name || !fleet.sites.has(name)) continue;
      const site = fleet.site(name);
      const row = fleet.rows.get(name);
      const state = row && isOwn(fleet, name) ? evidenceOf(row)?.state : undefined;
      if (state === 'Running' && site.wasHealthyBefore(digestOf(fleet.release), soakedSince)) proofs += 1;
      if (site.connectedSince === undefined || isExcused(fleet, name, state)) continue;
      assert.equal(state, 'Running', `wave ${wave.name} passed before ${name} had answered`);
      // A report that did not come yet may tell of an end that the hub cannot know of.
      const isTold = site.state === state && site.since === row?.report?.sinceTime;
      assert.ok(
        isTold
          ? site.wasHealthyWith(digestOf(fleet.release), soakedSince)
          : site.wasHealthyBefore(digestOf(fleet.release), soakedSince),
        `wave ${wave.name} passed before ${name} had soaked`,
      );
    }
    const { draws } = resolveStrategy(fleet.strategy).waves.find(({ name }) => name === wave.name) ?? {};
    const wasTried =
      fleet.waivedWaves.size > 0 ||
      (status.waves ?? []).some((w) => w.phase === 'Passed' && w !== wave && w.sites > 0);
    assert.ok(
      proofs > 0 || wasTried || (wave.sites === 0 && draws?.kind !== 'Exactly'),
      `wave ${wave.name} passed and nobody has run the release`,
    );
  }
}

/** Nobody waits for a site that failed, is held, or cannot be given the release. */
function isExcused(fleet: SimulatedFleet, name: string, state: string | undefined): boolean {
  const site = fleet.site(name);
  const waiting = fleet.rows.get(name)?.report?.waiting?.reason;
  return (
    state === 'Failed' ||
    state === 'Refused' ||
    site.held !== undefined ||
    waiting === 'SiteHold' ||
    isLate(fleet, name)
  );
}

/** Heard of when it had been in touch for longer than the shortest deadline, without a break. */
function isLate(fleet: SimulatedFleet, name: string): boolean {
  const { connectedSince: since, lastSeen = 0 } = fleet.site(name);
  const row = fleet.rows.get(name);
  if (since === undefined || row === undefined) return false;
  const limit = Math.min(row.deadlineSeconds, row.terms.prepareSeconds) + answerGraceSeconds;
  return lastSeen - Math.max(since, Date.parse(row.assignedAt)) >= limit * 1000;
}

/** Silence is no failure; a failure was told by the site of this very assignment, or it was mute for too long in touch. */
function checkFailures({ fleet }: RandomWorld, { failures }: RolloutPlan): void {
  for (const { site, reason } of failures) {
    if (reason === 'VariableUndefined') continue;
    assert.ok(isOwn(fleet, site), `${site} failed with what it was not given`);
    const state = evidenceOf(fleet.row(site))?.state;
    if (state === 'Failed' || state === 'Refused') continue;
    assert.notEqual(fleet.site(site).connectedSince, undefined, `${site} failed by being silent`);
    assert.ok(isLate(fleet, site), `${site} failed before its time`);
    assert.equal(fleet.site(site).held, undefined, `${site} is held and failed`);
  }
}

function checkAssignments({ fleet }: RandomWorld, plan: RolloutPlan): void {
  const sites = plan.assign.map(({ site }) => site);
  assert.equal(new Set(sites).size, sites.length, 'a site is given two releases');
  const isOver = plan.status.breach !== undefined;
  for (const assignment of plan.assign) {
    const { site, digest, terms } = assignment;
    assert.ok(fleet.sites.has(site), 'a site is given something that is not selected');
    assert.notEqual(fleet.site(site).held?.reason, 'HubBehind', `${site} does not follow this hub`);
    if (isRelabel(fleet, assignment)) continue;
    const isBad = fleet.isCondemned(digest) || (isOver && digest === digestOf(fleet.release));
    if (isBad) assert.equal(terms.activate, 'Hold', `${site} is given a condemned release`);
    const row = fleet.rows.get(site);
    if (row === undefined || row.digest === digest) continue;
    const runsWell = evidenceOf(row)?.state === 'Running' && !fleet.isCondemned(row.digest);
    const leavesOwn = isOver && row.digest === digestOf(fleet.release);
    if (runsWell && !leavesOwn) {
      assert.equal(terms.fallback?.digest, row.digest, `${site} is not told what to go back to`);
    }
  }
}

/** No wave activates more at once than it may, and nobody when more failed than may. */
function checkConcurrency({ fleet }: RandomWorld, plan: RolloutPlan): void {
  const { status } = plan;
  const activating = plan.assign.filter(
    (a) =>
      a.digest === digestOf(fleet.release) &&
      a.terms.attempt === fleet.rollout &&
      a.terms.activate !== 'Hold' &&
      !isRelabel(fleet, a),
  );
  if (activating.length === 0) return;
  assert.ok(status.phase === 'Progressing' || status.phase === 'Completed', `${status.phase} and activates`);
  const view = new RolloutView(fleet.input, false);
  const { strategy } = view;
  if (status.phase === 'Progressing') assert.equal(checkBudgets(view).stop, undefined, 'the budget is spent');
  for (const wave of strategy.waves) {
    const mine = activating.filter((a) => a.wave === wave.name);
    const members = [...fleet.members].filter(
      ([name, of]) => of === wave.name && fleet.sites.has(name),
    ).length;
    const drawn = plan.join.filter((j) => j.wave === wave.name).length;
    const limit = wave.maxConcurrent(members + drawn);
    if (mine.length === 0 || limit === Number.POSITIVE_INFINITY || strategy.activation.activate === 'At')
      continue;
    const working = view.sites.filter(({ name, ownRow, verdict }) => {
      if (fleet.members.get(name) !== wave.name || ownRow === undefined || ownRow.terms.activate === 'Hold')
        return false;
      const isUnanswered = verdict.verdict === 'pending' || verdict.verdict === 'prepared';
      return (isUnanswered || mayActivateUnheard(fleet, name)) && !mine.some((a) => a.site === name);
    });
    assert.ok(mine.length + working.length <= limit, `${wave.name} activates more than ${limit} at once`);
  }
}

/** Silent, and given the release so lately that it may be at work with it. */
function mayActivateUnheard(fleet: SimulatedFleet, name: string): boolean {
  const row = fleet.rows.get(name);
  if (row === undefined || fleet.site(name).connectedSince !== undefined || isSettled(row)) return false;
  return fleet.now - Date.parse(row.assignedAt) < (row.deadlineSeconds + answerGraceSeconds) * 1000;
}

function isOwn(fleet: SimulatedFleet, name: string): boolean {
  const row = fleet.rows.get(name);
  return row?.digest === digestOf(fleet.release) && row.terms.attempt === fleet.rollout;
}

/** Only the names of rollout and wave change. */
function isRelabel(fleet: SimulatedFleet, { site, digest, terms }: PlannedAssignment): boolean {
  const row = fleet.rows.get(site);
  return row?.digest === digest && row.terms === terms;
}

/** For messages of failed histories. */
export function describeRows(fleet: SimulatedFleet): string[] {
  return fleet.siteNames.map((name) => {
    const row = fleet.rows.get(name);
    const site = fleet.site(name);
    const asked =
      row === undefined
        ? 'nothing'
        : `${row.release}@${row.terms.attempt} ${row.terms.activate} ${uptakeOf(row)} ${evidenceOf(row)?.state ?? '-'} fallback ${row.terms.fallback?.release ?? '-'}`;
    return `${name}: ${asked}; runs ${site.active ?? 'nothing'} (${site.state}), wave ${fleet.members.get(name) ?? '-'}${site.connectedSince === undefined ? ', silent' : ''}`;
  });
}
