import { finishJob, released } from './finish-job.ts';
import { effectiveOrder } from './follow-order.ts';
import { expect, failJob, wishFor, type WorkingRecord } from './job.ts';
import { addSeconds, type MachineRecord, noteMoment, type PowerAct, without } from './machine-record.ts';
import type { PlanFacts } from './plan-facts.ts';
import { awaitLogin } from './reach-system.ts';

/** Switches a box: by the system that it runs, else by its BMC, with a look at what came of it. */
export function planSwitch(record: WorkingRecord, facts: PlanFacts): MachineRecord {
  if (record.session !== undefined) return { ...record, job: { ...record.job, stage: 'System' } };
  if (record.wish !== undefined) return record;
  const target = targetOf(record, facts);
  if (target === 'Restart') return restart(record, facts);
  const { power } = facts;
  if (target === 'Off' ? !power.turnsOff : !power.turnsOn) return leaveToPerson(record, facts, target);
  const { job } = record;
  if (isInEffect(record, target)) return done(record, facts);
  if (facts.missingLogin !== undefined) return awaitLogin(record, facts);
  if (job.isAsked !== true) return ask(record, facts, target);
  // What the BMC cannot tell is taken as done.
  if (!power.readsState) return done(record, facts);
  return awaitEffect(record, facts, target);
}

type Target = 'On' | 'Off' | 'Restart';

function targetOf(record: WorkingRecord, facts: PlanFacts): Target {
  const { job, phase } = record;
  const order = effectiveOrder(record, facts);
  switch (job.kind) {
    case 'Release':
      return 'Off';
    case 'Switch':
      return job.subject === 'On' ? 'On' : 'Off';
    case 'Leave':
      return phase === 'Available' && order?.power !== 'On' ? 'Off' : 'Restart';
    default:
      return 'Restart';
  }
}

/** As read since the job began: what was read before says nothing. */
function isInEffect({ power, job }: WorkingRecord, target: 'On' | 'Off'): boolean {
  return power.state === target && power.observedTime >= job.since;
}

function ask(record: WorkingRecord, { now }: PlanFacts, target: 'On' | 'Off'): WorkingRecord {
  const off: PowerAct = { kind: record.job.way === 0 ? 'GracefulOff' : 'Off' };
  const acts: readonly PowerAct[] = target === 'On' ? [{ kind: 'On' }] : [off];
  const step = target === 'On' ? 'PoweringOn' : 'PoweringOff';
  return wishFor(
    expect(record, { step, expected: `the BMC takes the order to switch it ${target.toLowerCase()}` }, now),
    {
      acts,
      now,
    },
  );
}

function awaitEffect(record: WorkingRecord, facts: PlanFacts, target: 'On' | 'Off'): WorkingRecord {
  const { now, timings } = facts;
  const { job } = record;
  const step = target === 'On' ? 'PoweringOn' : 'PoweringOff';
  const seconds = timings.gracefulOffSeconds;
  const expected = `its BMC reads that it is ${target.toLowerCase()}`;
  const waiting = expect(record, { step, expected, seconds }, now);
  // What the box itself says does not count here: one that goes off may say much.
  if (addSeconds(waiting.job.expectedSince, seconds) > now) return waiting;
  const { isAsked: _, ...again } = job;
  if (job.way === 0 && target === 'Off') return { ...record, job: { ...again, way: 1 } };
  return failJob(
    record,
    {
      reason: 'PowerNotHonoured',
      message: `the BMC took the order to switch it ${target.toLowerCase()}, and after ${seconds} s it still reads ${record.power.state}`,
    },
    facts,
  );
}

function restart(record: WorkingRecord, facts: PlanFacts): MachineRecord {
  const { now, power } = facts;
  if (record.job.isAsked === true) return done(record, facts);
  if (!power.turnsOff) return leaveToPerson(record, facts, 'Restart');
  if (facts.missingLogin !== undefined) return awaitLogin(record, facts);
  const expected = 'the BMC takes the order to restart it';
  return wishFor(expect(record, { step: 'Rebooting', expected }, now), { acts: [{ kind: 'Boot' }], now });
}

function leaveToPerson(record: WorkingRecord, facts: PlanFacts, target: Target): MachineRecord {
  const what = target === 'Restart' ? 'restarted' : `switched ${target.toLowerCase()}`;
  const noted = noteMoment(record, {
    time: facts.now,
    type: 'Warning',
    reason: 'PersonNeeded',
    message: `it cannot be ${what} from here (${facts.order?.bmc?.type ?? 'no BMC'}): press its button`,
  });
  // Nothing is known of its power: it is not asked for again and again.
  return without(done({ ...noted, job: record.job }, facts), 'settlesOff');
}

function done(record: WorkingRecord, facts: PlanFacts): MachineRecord {
  if (record.job.kind !== 'Release') return finishJob(record, facts);
  return released(record, facts.now);
}
