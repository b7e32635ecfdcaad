import { printable, type Site, sites } from '@selvedge/api';
import { type ConnectOptions, connect } from '../program/connect.ts';
import { exitCode, UsageError } from '../program/exit-code.ts';
import { type Command, formatDocument, type OutputFormat } from '../program/terminal.ts';
import { getSite } from './get-site.ts';

export interface HoldOptions extends ConnectOptions {
  readonly site: string;
  /** Absent: the hold ends. */
  readonly reason?: string;
  readonly output: OutputFormat;
}

const maxReasonLength = 200;

/** Sets or takes away `spec.hold` of a Site. */
export const holdCommand: Command<HoldOptions> = async ({ site: name, reason, ...options }, ctx) => {
  const text = reason?.trim();
  if (text === '') throw new UsageError('--reason must say why, for those who wonder later');
  if (text !== undefined && text.length > maxReasonLength) {
    throw new UsageError(`--reason must have at most ${maxReasonLength} characters`);
  }
  await using hub = await connect(options, ctx.process);
  const before = await getSite(hub.client, name);
  const patch = { spec: { hold: text === undefined ? null : { reason: text } } };
  const after = await hub.client.mergePatch<Site>(sites, { name }, patch, { fieldManager: 'selvedge-cli' });
  if (options.output !== 'table') {
    ctx.print(await formatDocument(options.output, { site: name, hold: after.spec?.hold ?? null }));
    return exitCode.ok;
  }
  if (text !== undefined) {
    ctx.print(`${name} is on hold: nothing is activated and nothing removed there. What runs, runs on.`);
    hintIfSilent(after, 'the hold', ctx.hint);
    ctx.hint(`It ends with: selvedge site release ${name}`);
  } else if (before.spec?.hold === undefined) {
    ctx.print(`${name} was not on hold.`);
  } else {
    ctx.print(`The hold of ${name} is over.`);
    hintIfSilent(after, 'that', ctx.hint);
  }
  for (const hold of after.status?.holds ?? []) {
    const what = hold.item ?? 'everything';
    const who = printable(`${hold.by} holds ${what} at the site itself: ${hold.reason}`);
    ctx.hint(`${who}. That ends there, with: selvedge-agent release`);
  }
  return exitCode.ok;
};

function hintIfSilent({ status }: Site, what: string, hint: (line: string) => void): void {
  if (status?.connectivity === 'Connected') return;
  hint(`The site is not in touch: it hears of ${what} when it comes back.`);
}
