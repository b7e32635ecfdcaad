import type { MachineOrder, MachinePhase } from '@selvedge/api';
import { isWorking, startJob, wishFor } from './job.ts';
import {
  enterPhase,
  leftToOthers,
  type MachineRecord,
  noteMoment,
  noteStopped,
  without,
} from './machine-record.ts';
import type { PlanFacts } from './plan-facts.ts';

/** What is wanted of the machine, and may be done to it. Undefined: it is left as it is. */
export function effectiveOrder(record: MachineRecord, { order }: PlanFacts): MachineOrder | undefined {
  if (order?.accepted !== true || record.conflict !== undefined) return undefined;
  return isStepBack(record, order) ? undefined : order;
}

/**
 * The hub wanted more of it before: it was restored from an older backup. What it wanted then could release or overwrite what runs now, so
 * nothing is done until a newer order comes, or a person says that this one holds.
 */
function isStepBack({ generation = 0, isHeldBack, answered }: MachineRecord, order: MachineOrder): boolean {
  const isOlder = order.generation < generation || (isHeldBack === true && order.generation === generation);
  return isOlder && !isNewer(order.requests.retry, answered.retry);
}

/** Goes to the phase that the order asks for, begins what is to be done there, and ends what is not wanted any more. */
export function followOrder(record: MachineRecord, facts: PlanFacts): MachineRecord {
  const next = noteStopped(record, followed(record, facts), facts.now);
  return isAtItsDisk(next) ? next : leftToOthers(next);
}

/** What it shows of its disks is fresh, and nobody but the rack is to touch them. */
function isAtItsDisk({ job }: MachineRecord): boolean {
  return job?.kind === 'Inspect' || job?.kind === 'Provision' || job?.kind === 'Release';
}

function followed(record: MachineRecord, facts: PlanFacts): MachineRecord {
  const order = effectiveOrder(record, facts);
  if (order === undefined) return leave(record, facts);
  let next = noteGeneration(recall(record, order, facts), order, facts);
  // A phase leads to the next at once where nothing is to be done in it.
  for (let turn = 0; turn < phasesInARow; turn++) {
    const moved = changePhase(next, order, facts);
    if (moved.phase === next.phase) break;
    next = moved;
  }
  next = answerRequests(next, order, facts);
  if (isOutdated(next, order)) next = without(next, 'job', 'wish', 'progress', 'error');
  return isWorking(next) ? next : beginJob(next, order, facts);
}

const phasesInARow = 4;

/** A rack without a record of it goes by what the hub last heard. Requests were for the rack that had one. */
function recall(record: MachineRecord, order: MachineOrder, { now }: PlanFacts): MachineRecord {
  const { known } = order;
  if (record.phase !== 'New' || known === undefined) return record;
  const { phase, provisioned } = known;
  const recalled: MachineRecord = {
    ...without(record, 'job', 'wish', 'progress', 'error'),
    phase,
    phaseSince: now,
    answered: { ...order.requests },
    ...(provisioned === undefined ? {} : { provisioned }),
    ...(phase === 'Provisioning' ? { isRecalled: true as const } : {}),
  };
  const message = `this rack had no record of it; the hub last heard that it is ${phase}, and it is left so`;
  return noteMoment(recalled, { time: now, type: 'Warning', reason: 'RecordMissing', message });
}

/** Nobody wants anything of it: what was going on ends, the box boots its own disk. */
function leave(before: MachineRecord, { order, discovery, now }: PlanFacts): MachineRecord {
  const record = order === undefined ? before : noteUnfollowed(before, order);
  const isNew = record.phase === 'New' && record.conflict === undefined;
  const isToBeInspected = isNew && discovery === 'Inspect' && record.inspectedTime === undefined;
  if (isToBeInspected) {
    if (record.job?.kind === 'Inspect') return record;
    return startJob(record, { kind: 'Inspect', stage: 'System', now });
  }
  const isLeaving = isNew && record.job?.kind === 'Inspect' && record.session !== undefined;
  if (isLeaving) return record;
  const left = without(record, 'job', 'wish', 'progress', 'settlesOff');
  return record.job === undefined ? left : without(left, 'error');
}

/** The hub is told for which order it is left alone. The newest generation stays known, also while no order names it. */
function noteUnfollowed(record: MachineRecord, order: MachineOrder): MachineRecord {
  if (isStepBack(record, order)) return record.isHeldBack === true ? record : { ...record, isHeldBack: true };
  const { generation } = order;
  return record.generation === generation ? record : { ...without(record, 'isHeldBack'), generation };
}

/** Another order may have put right what had failed. */
function noteGeneration(record: MachineRecord, order: MachineOrder, { now }: PlanFacts): MachineRecord {
  if (record.generation === order.generation) return without(record, 'isHeldBack');
  const next = noteRefusedRescue(
    { ...without(record, 'isHeldBack'), generation: order.generation },
    order,
    now,
  );
  const wish = next.wish && { ...without(next.wish, 'notBefore'), tries: 0 };
  const woken = wish === undefined ? next : { ...next, wish };
  if (!isWorking(woken) || woken.job.isStuck !== true) return woken;
  const job = without(woken.job, 'isStuck', 'failedAt');
  return { ...woken, job: { ...job, failures: 0, way: 0, retryAt: now } };
}

function noteRefusedRescue(record: MachineRecord, order: MachineOrder, now: string): MachineRecord {
  if (order.rescue === undefined || order.isProtected !== true || record.phase === 'Rescue') return record;
  const message = 'it is protected: it is not restarted for a rescue; take spec.protected away first';
  return noteMoment(record, { time: now, type: 'Warning', reason: 'RescueRefused', message });
}

function changePhase(record: MachineRecord, order: MachineOrder, facts: PlanFacts): MachineRecord {
  const { now: time } = facts;
  const go = (phase: MachinePhase, why: string) => enterPhase(record, phase, { time, why });
  const { phase } = record;
  if (order.broken !== undefined) {
    if (phase === 'Broken') return record;
    const before = phase === 'Rescue' ? record.returnPhase : phase;
    return { ...go('Broken', order.broken.reason), ...(before && { returnPhase: before }) };
  }
  const provisions = order.provision !== undefined && order.isProtected !== true && order.isExternal !== true;
  switch (phase) {
    case 'New':
      return order.isExternal === true
        ? go('Provisioned', 'it ran before the rack knew it')
        : go('Inspecting', 'it was accepted');
    case 'Inspecting':
      if (order.isExternal === true) return leaveSystem(go('Provisioned', 'it is provisioned by others'));
      if (order.inspection.isDisabled !== true) return record;
      return go(order.allocated ? 'Allocated' : 'Available', 'inspection is switched off');
    case 'Available':
    case 'Allocated':
      if (order.isExternal === true && phase === 'Available')
        return leaveSystem(go('Provisioned', 'it is provisioned by others'));
      if (isRescueWanted(order)) return { ...go('Rescue', 'rescue was asked for'), returnPhase: phase };
      if (isNewer(order.requests.inspect, record.answered.inspect) && order.isProtected !== true) {
        const answered = { ...record.answered, inspect: order.requests.inspect as string };
        return { ...go('Inspecting', 'an inspection was asked for'), answered };
      }
      if (provisions) return go('Provisioning', `image ${order.provision.image} is wanted`);
      if (phase === 'Available' && order.allocated) return go('Allocated', 'somebody has it');
      if (phase === 'Allocated' && !order.allocated && order.provision === undefined) {
        if (order.erase === 'None' || order.isExternal === true) return go('Available', 'nobody has it');
        // Who had it may have installed it without the rack: what was inspected before says nothing.
        return without(go('Releasing', 'nobody has it'), 'disks');
      }
      return record;
    case 'Provisioning':
      if (order.isExternal === true) return leaveSystem(go('Provisioned', 'it is provisioned by others'));
      if (order.provision === undefined) {
        return record.isAdopted === true ? record : go('Releasing', 'nothing is wanted on its disk any more');
      }
      // Nothing has been written since: the first write takes away what was known of the disk.
      if (isProvisioned(record, order) && record.provisioned?.confirmedTime !== undefined) {
        return leaveSystem(go('Provisioned', 'what runs on its disk is wanted again'));
      }
      return without(record, 'isAdopted');
    case 'Provisioned':
      if (isRescueWanted(order)) return { ...go('Rescue', 'rescue was asked for'), returnPhase: phase };
      if (order.isProtected === true || order.isExternal === true) return record;
      if (order.provision === undefined && record.isAdopted === true) return record;
      if (order.provision === undefined) {
        const released = go('Releasing', 'nothing is wanted on its disk any more');
        // Others installed it.
        return record.provisioned === undefined ? without(released, 'disks') : released;
      }
      if (isProvisioned(record, order)) return without(record, 'isAdopted');
      return go('Provisioning', `image ${order.provision.image} is wanted, as ${order.provision.instanceId}`);
    case 'Releasing':
      if (order.isExternal !== true || order.erase !== 'None') return record;
      // Others have it: it is not switched off either.
      return without(go('Available', 'its disks were left as they are'), 'provisioned', 'seed', 'written');
    case 'Rescue':
      if (order.rescue !== undefined) return record;
      return leaveRescue(record, go);
    case 'Broken':
      if (isRescueWanted(order)) {
        const returnPhase = record.returnPhase === 'Provisioned' ? 'Provisioned' : 'Broken';
        return { ...go('Rescue', 'rescue was asked for'), returnPhase };
      }
      if (record.returnPhase === 'Provisioned' || order.isExternal === true)
        return go('Provisioned', 'it is no longer marked broken');
      if (record.returnPhase === 'Releasing') return go('Releasing', 'it is no longer marked broken');
      return go('Inspecting', 'it is no longer marked broken');
  }
}

function isRescueWanted({ rescue, isProtected }: MachineOrder): boolean {
  return rescue !== undefined && isProtected !== true;
}

/** A box that was booted to be written to goes back to its own disk. */
function leaveSystem(entered: MachineRecord): MachineRecord {
  if (entered.session === undefined) return entered;
  return startJob(entered, { kind: 'Leave', stage: 'Power', now: entered.phaseSince });
}

function leaveRescue(
  record: MachineRecord,
  go: (phase: MachinePhase, why: string) => MachineRecord,
): MachineRecord {
  const to = record.returnPhase ?? 'Broken';
  const left = go(to, 'the rescue is over');
  const { session, boot, phaseSince } = record;
  const isInSystem = session !== undefined && session.time >= phaseSince;
  const isOnItsWay = boot !== undefined && boot.isUsed !== true && boot.time >= phaseSince;
  // What runs on its disk was never left.
  if (!isInSystem && !isOnItsWay) return without(left, 'returnPhase');
  const job = startJob(left, { kind: 'Leave', stage: 'Power', now: left.phaseSince });
  return without(job, 'returnPhase');
}

/** What is wanted on its disk is there. */
function isProvisioned({ provisioned }: MachineRecord, { provision }: MachineOrder): boolean {
  return (
    provisioned !== undefined &&
    provision !== undefined &&
    provisioned.image === provision.image &&
    provisioned.instanceId === provision.instanceId
  );
}

function answerRequests(record: MachineRecord, order: MachineOrder, facts: PlanFacts): MachineRecord {
  const { now } = facts;
  let next = restartWork(record, order, facts);
  const { inspect, retry } = order.requests;
  if (isNewer(inspect, next.answered.inspect) && next.phase !== 'Inspecting') {
    next = noteMoment(
      { ...next, answered: { ...next.answered, inspect } },
      {
        time: now,
        type: 'Warning',
        reason: 'InspectionRefused',
        message: `it cannot be inspected while it is ${next.phase}${order.isProtected === true ? ' and protected' : ''}; release it first`,
      },
    );
  } else if (isNewer(inspect, next.answered.inspect)) {
    next = { ...next, answered: { ...next.answered, inspect } };
  }
  if (isNewer(retry, next.answered.retry)) {
    next = noteMoment(
      { ...next, answered: { ...next.answered, retry } },
      { time: now, reason: 'RetryAsked', message: 'a person asked to try again' },
    );
    // Also one that waits for its installed system: it is written anew.
    if (next.phase === 'Provisioning') next = without(next, 'seed');
    next = without(next, 'error', 'job', 'wish', 'progress', 'isAdopted', 'isRecalled');
  }
  return next;
}

/** A restart that is asked for while the rack is at work: the box is booted again, and the work goes on. */
function restartWork(record: MachineRecord, order: MachineOrder, { now, power }: PlanFacts): MachineRecord {
  const { reboot } = order.requests;
  if (!isNewer(reboot, record.answered.reboot) || order.isProtected === true || !isWorking(record))
    return record;
  const { stage } = record.job;
  if (stage !== 'System' && stage !== 'Disk') return record;
  const asked = noteMoment(
    { ...record, answered: { ...record.answered, reboot } },
    { time: now, reason: 'RebootAsked', message: 'a person asked to restart it' },
  );
  const job = without(record.job, 'step', 'isAsked', 'task', 'retryAt', 'isStuck');
  const bare = {
    ...without(asked, 'session', 'wish', 'error', 'asksAgainUntil'),
    job: { ...job, boots: 0, way: 0 },
  };
  if (stage === 'System' || !power.turnsOff) return bare;
  return wishFor(bare, { acts: [{ kind: 'Boot' }], now });
}

/** RFC 3339; times of the hub are compared as times. */
function isNewer(wanted: string | undefined, answered: string | undefined): wanted is string {
  return wanted !== undefined && (answered === undefined || Date.parse(wanted) > Date.parse(answered));
}

/** Why nothing is done although the phase asks for it. */
export function findPause(record: MachineRecord, order: MachineOrder): string | undefined {
  if (isStepBack(record, order)) {
    return `the hub went back to generation ${order.generation} of this machine, and this rack acted on ${record.generation} (was the hub restored from a backup?): put spec right, then ask to try again (spec.requests.retryTime)`;
  }
  if (isAdoptedBusy(record, order)) return adoptedText(record);
  if (record.isRecalled === true) {
    return 'this rack has no record of what was done to its disk, which may be in use: look what runs there; asking to try again (spec.requests.retryTime) writes it anew';
  }
  if (order.isExternal === true && record.phase === 'Releasing' && order.erase !== 'None') {
    return 'it is provisioned by others (spec.externallyProvisioned): nothing is erased; take spec.externallyProvisioned away to have it erased, or set spec.release.erase to None to have it released as it is';
  }
  if (order.isProtected !== true) return undefined;
  const isPaused = ['Inspecting', 'Provisioning', 'Releasing', 'Rescue'].includes(record.phase);
  return isPaused ? 'it is protected: nothing is written, erased or switched off' : undefined;
}

function isAdoptedBusy({ isAdopted, phase }: MachineRecord, { provision }: MachineOrder): boolean {
  if (isAdopted !== true) return false;
  return (
    phase === 'Releasing' ||
    (provision === undefined && (phase === 'Provisioned' || phase === 'Provisioning'))
  );
}

function adoptedText({ provisioned }: MachineRecord): string {
  const { image = 'an image', instanceId = '' } = provisioned ?? {};
  return `it was another Machine before and runs on with ${image} (${instanceId}): name that in spec.provision, or release it by asking to try again (spec.requests.retryTime)`;
}

function beginJob(record: MachineRecord, order: MachineOrder, facts: PlanFacts): MachineRecord {
  const { now } = facts;
  if (findPause(record, order) !== undefined) return record;
  switch (record.phase) {
    case 'Inspecting':
      return startJob(record, { kind: 'Inspect', stage: 'System', now });
    case 'Provisioning': {
      // It was written and seeded before the work was interrupted: its system may run by now.
      const isWritten = isProvisioned(record, order) && record.seed?.isOnDisk === true;
      const stage = isWritten && record.session === undefined ? 'Disk' : 'Prepare';
      return startJob(record, { kind: 'Provision', stage, subject: subjectOf(order), now });
    }
    case 'Releasing': {
      const hasData = record.disks !== 'Blank' || record.written !== undefined;
      const isErasing = order.erase !== 'None' && hasData;
      return startJob(record, {
        kind: 'Release',
        stage: isErasing ? 'Prepare' : 'Power',
        subject: order.erase,
        now,
      });
    }
    case 'Rescue':
      return startJob(record, { kind: 'Rescue', stage: 'System', now });
    case 'New':
    case 'Broken':
      return record;
    case 'Available':
    case 'Allocated':
    case 'Provisioned':
      return beginSwitch(record, order, facts);
  }
}

function beginSwitch(record: MachineRecord, order: MachineOrder, { now, power }: PlanFacts): MachineRecord {
  const { reboot } = order.requests;
  if (isNewer(reboot, record.answered.reboot)) {
    const answered = { ...record.answered, reboot };
    if (order.isProtected === true) {
      const moment = { time: now, type: 'Warning' as const, reason: 'RebootRefused' };
      return noteMoment(
        { ...record, answered },
        { ...moment, message: 'it is protected: it is not restarted' },
      );
    }
    return startJob({ ...record, answered }, { kind: 'Reboot', stage: 'Power', subject: reboot, now });
  }
  const { state } = record.power;
  const isToBeOff = order.power === 'Off' || (order.power === undefined && record.settlesOff === true);
  const isToGoOff = isToBeOff && state === 'On' && order.isProtected !== true && power.turnsOff;
  const isToGoOn = order.power === 'On' && state === 'Off' && power.turnsOn;
  if (!power.readsState || (!isToGoOff && !isToGoOn))
    return state === 'Off' ? without(record, 'settlesOff') : record;
  return startJob(record, {
    kind: 'Switch',
    stage: 'Power',
    subject: order.power === 'On' ? 'On' : 'Off',
    now,
  });
}

/** A job for something else than this is begun anew. */
function subjectOf({ provision }: MachineOrder): string {
  return provision === undefined ? '' : `${provision.image} ${provision.instanceId}`;
}

/** The order has changed so that what is going on is not what is wanted. */
function isOutdated(record: MachineRecord, order: MachineOrder): boolean {
  const { job } = record;
  if (job === undefined) return false;
  if (findPause(record, order) !== undefined) return true;
  switch (job.kind) {
    case 'Provision':
      return job.subject !== subjectOf(order) || isWriteWithdrawn(record, order);
    case 'Release':
      return job.subject !== order.erase || (job.task?.name === 'erase' && order.wipeConsent !== true);
    case 'Switch':
      return job.subject === 'On'
        ? order.power !== 'On' || record.power.state === 'On'
        : order.power === 'On' || order.isProtected === true || record.power.state === 'Off';
    case 'Reboot':
      return order.isProtected === true;
    case 'Leave':
      // The inspection system is nothing to protect.
      return order.isProtected === true && record.session === undefined;
    case 'Inspect':
    case 'Rescue':
      return false;
  }
}

/** Data that is not lost yet stays where nobody allows any more that it is. */
function isWriteWithdrawn({ job, written }: MachineRecord, order: MachineOrder): boolean {
  // Noted by `holdsForeignData` when the write began: a write that needed no consent is not withdrawn for want of it.
  if (job === undefined || written === undefined || written.disk.isOverData === false) return false;
  if (order.wipeConsent) return false;
  const { task, done } = job;
  return task?.name === 'write' || (done.includes('write') && !done.includes('seed'));
}
