import type { Machine } from '../kinds/machine.ts';
import type { Condition } from '../object-meta.ts';
import { printable } from '../terminal-text.ts';

type Progress = NonNullable<NonNullable<Machine['status']>['progress']>;

/** What goes on at a machine, what it waits for, or what is wrong with it: one line for people; empty: nothing is to be said. */
export function machineNote(machine: Machine): string {
  const away = siteAwayMessage(machine);
  const note = noteAtHand(machine);
  if (away === undefined) return note;
  return note === '' ? printable(away) : `${note} (the site is silent)`;
}

function noteAtHand(machine: Machine): string {
  const { spec, status } = machine;
  const [fault] = machineFaults(machine);
  if (status?.phase === undefined) {
    return printable(fault?.message ?? `the rack of site ${spec.siteName} has not said anything of it yet`);
  }
  const { error, waiting, progress } = status;
  if (error) return printable(`${error.reason}: ${error.message}`);
  if (progress) return progressNote(progress);
  if (waiting) return printable(waiting.expected);
  if (spec.accepted === false) return 'found, and not accepted yet';
  if (spec.broken) return printable(`broken: ${spec.broken.reason}`);
  if (fault) return printable(fault.message);
  if (isWishUnderWay(machine)) return 'on its way to the site: what was wanted last';
  return spec.protected ? 'protected' : '';
}

/** `Writing 34 %`, `Testing 1 of 3`. */
export function progressNote({ step, done, total, unit }: Progress): string {
  if (unit !== 'Bytes') return `${step} ${done} of ${total}`;
  return `${step} ${total > 0 ? Math.floor((100 * Math.min(done, total)) / total) : 0} %`;
}

/** What of the conditions is wrong and does not stand in `status.error`: no rack there, tests that did not pass. */
export function machineFaults({ status }: Machine): Condition[] {
  return (status?.conditions ?? []).filter(
    ({ type, status: is, reason }) =>
      is === 'False' &&
      ((type === 'Synced' && !passingReasons.has(reason)) ||
        (type === 'Healthy' && reason === 'TestsNotPassed')),
  );
}

/** Not in step, but on its way: that is a state, not a fault. */
const passingReasons = new Set(['Pending', 'NotReported']);

/** The site is silent: all that is known is old. */
export function siteAwayMessage({ status }: Machine): string | undefined {
  return status?.conditions?.find(({ type }) => type === 'SiteConnected')?.message;
}

/** Whether the rack has yet to hear of what was last wanted. */
export function isWishUnderWay({ metadata, status }: Machine): boolean {
  return (status?.observedGeneration ?? 0) < (metadata.generation ?? 0);
}
