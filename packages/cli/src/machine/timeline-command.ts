import { exitCode } from '../program/exit-code.ts';
import { type ConnectOptions, connect } from '../program/connect.ts';
import { type Command, formatDocument, type OutputFormat } from '../program/terminal.ts';
import { followMachine, lastMoment } from './follow-machine.ts';
import { getMachine } from './get-machine.ts';
import { stampedLine } from './render-timeline.ts';

export interface TimelineOptions extends ConnectOptions {
  readonly name: string;
  readonly follow?: boolean;
  readonly output: OutputFormat;
}

/** What happened to a machine, oldest first: the last hundred moments. */
export const timelineCommand: Command<TimelineOptions> = async (options, ctx) => {
  await using hub = await connect(options, ctx.process);
  const machine = await getMachine(hub.client, options.name);
  const { name } = machine.metadata;
  const timeline = machine.status?.timeline ?? [];
  if (options.output !== 'table') {
    ctx.print(await formatDocument(options.output, timeline));
    return exitCode.ok;
  }
  if (timeline.length === 0) ctx.hint(`Nothing has happened to ${name} yet.`);
  for (const moment of timeline) ctx.print(stampedLine(moment, ctx.paint));
  if (options.follow !== true) return exitCode.ok;
  return await followMachine(hub.client, { name, afterMoment: lastMoment(machine), tell: ctx.print }, ctx);
};
