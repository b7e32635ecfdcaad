import { type Machine, printable } from '@selvedge/api';
import type { Paint } from '../program/terminal.ts';
import { formatAgo } from '../render/age.ts';

export type Moment = NonNullable<NonNullable<Machine['status']>['timeline']>[number];

/** `3m20s ago   BootRequested   asked what to boot`, the age 9 characters wide. */
export function momentLine({ time, type, reason, message }: Moment, now: Date, paint: Paint): string {
  const age = formatAgo(time, now).padStart(10);
  const what = paint(type === 'Warning' ? 'bad' : 'strong', reason);
  return `${paint('faint', age)}   ${what}${' '.repeat(Math.max(1, 22 - reason.length))}${printable(message)}`;
}

/** With the instant itself, for those who compare with other logs. */
export function stampedLine({ time, type, reason, message }: Moment, paint: Paint): string {
  const what = paint(type === 'Warning' ? 'bad' : 'strong', reason);
  return `${paint('faint', time)}   ${what}${' '.repeat(Math.max(1, 22 - reason.length))}${printable(message)}`;
}
