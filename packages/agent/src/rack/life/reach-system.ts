import { effectiveOrder } from './follow-order.ts';
import { expect, failJob, isOverdue, wishFor, type WorkingRecord } from './job.ts';
import { type PowerAct, without } from './machine-record.ts';
import type { PlanFacts } from './plan-facts.ts';
import type { BootSetting } from '../power/power-driver.ts';

/** How often a box may ask what to boot without coming further. */
const mostBoots = 5;

/** Brings the box into the inspection system: it may be on its way, be asking already, or has to be switched. */
export function reachSystem(record: WorkingRecord, facts: PlanFacts): WorkingRecord {
  const { now } = facts;
  const { job } = record;
  if (record.wish !== undefined) return record;
  if (job.boots > mostBoots) {
    const message = `the box asked ${job.boots} times what to boot, and its inspection system never spoke; look at its console`;
    return failJob(record, { reason: 'TimedOut', message }, facts);
  }
  const isOnItsWay = job.step === 'AwaitingSystem' || (job.step === 'AwaitingBoot' && job.isAsked === true);
  if (isOnItsWay) return isOverdue(record, now) ? giveUpWay(record, facts) : record;
  if (record.asksAgainUntil !== undefined && record.asksAgainUntil > now) {
    const expected = 'the box asks again what to boot';
    return expect(record, { step: 'AwaitingBoot', expected }, now);
  }
  if (effectiveOrder(record, facts) === undefined) {
    return expect(record, { step: 'AwaitingBoot', expected: 'the box starts and asks what to boot' }, now);
  }
  if (!facts.power.turnsOn) return awaitPerson(record, facts);
  if (facts.missingLogin !== undefined) return awaitLogin(record, facts);
  const acts = actsOf(record, facts);
  if (acts === undefined) return awaitPerson(record, facts);
  return wishFor(
    expect(
      record,
      { step: 'SettingBoot', expected: 'the BMC takes the order to boot from the network' },
      now,
    ),
    {
      acts,
      now,
    },
  );
}

/**
 * Ways in order: from the network once, by the firmware's other way, for all boots, and as the firmware is set up. Where two came to nothing, what the BMC says of its power
 * is not believed either.
 */
function actsOf(record: WorkingRecord, { power, order }: PlanFacts): readonly PowerAct[] | undefined {
  const { way, failures } = record.job;
  const boot: PowerAct = { kind: failures > 1 && power.turnsOff ? 'ForcedCycle' : 'Boot' };
  if (!power.setsBoot) return power.turnsOff || way === 0 ? [boot] : undefined;
  const mode = order?.bootMode ?? record.seen.bootMode;
  const settings: readonly BootSetting[] = [
    { target: 'Network', ...(mode === undefined ? {} : { mode }), isOnce: true },
    mode === 'BIOS' ? { target: 'Network', isOnce: true } : { target: 'HTTP', mode: 'UEFI', isOnce: true },
    // Firmware that forgets what was said for one boot; for all boots it does no harm: the rack decides each time.
    { target: 'Network', ...(mode === undefined ? {} : { mode }), isOnce: false },
  ];
  const setting = settings[way];
  return setting === undefined ? [boot] : [{ kind: 'SetBoot', setting }, boot];
}

/** It is on its way from the hub, most times. */
export function awaitLogin(record: WorkingRecord, { missingLogin = '', now }: PlanFacts): WorkingRecord {
  return expect(
    record,
    { expected: missingLogin, personNext: 'it goes on by itself when that is here' },
    now,
  );
}

function awaitPerson(record: WorkingRecord, { now }: PlanFacts): WorkingRecord {
  return expect(
    record,
    {
      step: 'AwaitingBoot',
      expected: 'somebody switches it on or restarts it, and it asks what to boot',
      personNext: 'press its button; its firmware has to boot from the network first',
    },
    now,
  );
}

function giveUpWay(record: WorkingRecord, facts: PlanFacts): WorkingRecord {
  const { job, lastSeen } = record;
  const wasSeen = lastSeen !== undefined && lastSeen.time > job.expectedSince;
  const seen = lastSeen === undefined ? 'nothing was ever seen of it' : `last seen: ${lastSeen.what}`;
  const power = facts.power.readsState ? `; its BMC reads that its power is ${record.power.state}` : '';
  const isBmcAtFault = job.step === 'AwaitingBoot' && !wasSeen;
  const failed = failJob(
    record,
    {
      reason: isBmcAtFault ? 'PowerNotHonoured' : 'TimedOut',
      message: isBmcAtFault
        ? `the BMC took the order to boot from the network, but the box did not ask what to boot within ${job.patienceSeconds} s; ${seen}${power}`
        : `it did not come to pass within ${job.patienceSeconds} s that ${job.expected}; ${seen}`,
    },
    facts,
  );
  const { step: _, ...again } = failed.job;
  const next = { ...failed, job: { ...again, way: job.way + 1 } };
  // A box without a switch is not in error because nobody came.
  if (next.job.isStuck !== true || facts.power.turnsOff) return next;
  const patient = { ...next, job: without(next.job, 'isStuck') };
  return awaitPerson(without(patient, 'error') as WorkingRecord, facts);
}
