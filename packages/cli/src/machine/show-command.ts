import { machines } from '@selvedge/api';
import { type ConnectOptions, connect } from '../program/connect.ts';
import { exitCode } from '../program/exit-code.ts';
import { repeatOnChange } from '../program/repeat-on-change.ts';
import { type Command, formatDocument, type OutputFormat } from '../program/terminal.ts';
import { getMachine } from './get-machine.ts';
import { summarise } from './machine-summary.ts';
import { renderMachine } from './render-machine.ts';

export interface ShowOptions extends ConnectOptions {
  readonly name: string;
  readonly watch?: boolean;
  readonly output: OutputFormat;
}

const refreshMilliseconds = { terminal: 1_000, elsewhere: 10_000 };

export const showMachineCommand: Command<ShowOptions> = async (options, ctx) => {
  await using hub = await connect(options, ctx.process);
  const { client } = hub;
  const isTerminal = ctx.process.stdout.isTTY === true;
  // What is not its name is looked up once: its name does not change.
  const { name } = (await getMachine(client, options.name)).metadata;
  const show = async () => {
    const machine = await getMachine(client, name);
    const now = ctx.process.clock.now();
    const summary = summarise(machine);
    if (options.output !== 'table') {
      ctx.print(await formatDocument(options.output, { summary, machine }));
    } else {
      const text = renderMachine(machine, now, ctx.paint);
      if (options.watch === true && isTerminal) ctx.redraw(text);
      else ctx.print(text);
    }
    return { exit: summary.isTrouble ? exitCode.trouble : exitCode.ok, isDone: false };
  };
  if (options.watch !== true) return (await show()).exit;
  return await repeatOnChange(
    { client, ctx, signal: ctx.process.signal },
    {
      watched: [{ resource: machines, name }],
      refreshMilliseconds: isTerminal ? refreshMilliseconds.terminal : refreshMilliseconds.elsewhere,
    },
    show,
  );
};
