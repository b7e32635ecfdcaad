import type { MachineMoment, MachineReport, MachineStatus } from '@selvedge/api';
import { boxAddress } from './discovered.ts';

/** What stands on a Machine of what happened to it. */
const maxMoments = 100;

/** The status with what the rack says now. What controllers keep there (tags, conditions) stays as it is. Pure. */
export function statusAfter(present: MachineStatus | undefined, report: MachineReport): MachineStatus {
  const { tags, conditions, timeline = [], inventory, inventoryDigest, results } = present ?? {};
  const { key, seq, generation, status, phase, phaseSince, power, seen, observedTime } = report;
  const isKnownInventory = report.inventoryDigest !== undefined && report.inventoryDigest === inventoryDigest;
  const kept = isKnownInventory || report.inventoryDigest === undefined ? { inventory, inventoryDigest } : {};
  const shown =
    report.inventory === undefined || report.inventoryDigest === undefined
      ? kept
      : { inventory: report.inventory, inventoryDigest: report.inventoryDigest };
  const moments = [...timeline, ...newMoments(timeline, report.timeline ?? [])].slice(-maxMoments);
  const next = {
    phase,
    phaseSince,
    operationalStatus: status,
    error: report.error,
    waiting: report.waiting,
    progress: report.progress,
    power,
    seen,
    provisioned: report.provisioned,
    disks: report.disks,
    ...shown,
    inspectedTime: report.inspectedTime,
    results: report.results ?? results,
    answered: report.answered,
    timeline: moments.length === 0 ? undefined : moments,
    tags,
    reportSeq: seq,
    // Who speaks of it under its uid has its order, also where nothing is done for it.
    observedGeneration: generation ?? (boxAddress(key) === undefined ? 0 : undefined),
    observedTime,
    conditions,
  };
  const entries = Object.entries(next).filter(([, value]) => value !== undefined);
  return structuredClone(Object.fromEntries(entries)) as MachineStatus;
}

/**
 * Those that the Machine does not show yet. Their numbers begin anew when a rack was installed again, or a box became a Machine: then their times are later than all that
 * is known.
 */
export function newMoments(
  known: NonNullable<MachineStatus['timeline']>,
  told: readonly MachineMoment[],
): MachineMoment[] {
  const last = known.at(-1);
  if (last === undefined) return [...told];
  const isKnown = ({ n, time, reason }: MachineMoment) =>
    known.some((moment) => moment.n === n && moment.time === time && moment.reason === reason);
  return told.filter(
    (moment) => !isKnown(moment) && (moment.n > last.n || Date.parse(moment.time) >= Date.parse(last.time)),
  );
}
