import { type Machine, machinePhases, machines, shownPhase } from '@selvedge/api';
import type { HttpClient } from '@selvedge/kube';
import { type ConnectOptions, connect } from '../program/connect.ts';
import { type ExitCode, exitCode, UsageError } from '../program/exit-code.ts';
import { pacedReading } from '../program/paced-reading.ts';
import { repeatOnChange } from '../program/repeat-on-change.ts';
import { type Command, type CommandContext, formatDocument, type OutputFormat } from '../program/terminal.ts';
import { getSite } from '../site/get-site.ts';
import { summarise } from './machine-summary.ts';
import { type MachineChoice, type MachineRow, readMachineRows } from './read-machine-rows.ts';
import { renderMachines } from './render-machines.ts';

export interface ListOptions extends ConnectOptions {
  readonly site?: string;
  readonly phase?: string;
  readonly selector?: string;
  readonly watch?: boolean;
  readonly output: OutputFormat | 'name';
}

const refreshMilliseconds = { terminal: 1_000, elsewhere: 10_000 };

export const listMachinesCommand: Command<ListOptions> = async (options, ctx) => {
  const { choice, isDiscovered } = chosenBy(options);
  const isMeant = (phase: string | undefined) => !isDiscovered || phase === 'Discovered';
  await using hub = await connect(options, ctx.process);
  const { client } = hub;
  // Where there are thousands, a screen must not keep the hub busy.
  const paced = <T>(read: () => Promise<T>) => pacedReading(read, ctx.process.clock);
  const readRows = paced(async () =>
    (await readMachineRows(client, choice)).filter(({ phase }) => isMeant(phase)).sort(bySiteAndName),
  );
  const readObjects = paced(async () =>
    (await listMachines(client, choice)).filter(({ spec, status }) =>
      isMeant(shownPhase(spec.accepted, status?.phase)),
    ),
  );
  const show = async () => {
    const { output } = options;
    if (output === 'json' || output === 'yaml') await printSummaries(await readObjects(), options, ctx);
    else {
      const rows = await readRows();
      if (rows.length === 0 && options.site !== undefined) await getSite(client, options.site);
      printRows(rows, options, ctx);
    }
    return { exit: exitCode.ok, isDone: false };
  };
  if (options.watch !== true) return (await show()).exit;
  return await watch({ client, choice }, ctx, show);
};

/** What the hub is asked for, and whether of its answer only those are meant that nobody has accepted. Throws UsageError. */
function chosenBy({ phase, site, selector }: ListOptions): {
  choice: MachineChoice;
  isDiscovered: boolean;
} {
  const phases = [...machinePhases, 'Discovered'] as const;
  const wanted = phases.find((one) => one.toLowerCase() === phase?.toLowerCase());
  if (phase !== undefined && wanted === undefined) {
    throw new UsageError(`--phase has to be one of ${phases.join(', ')}`);
  }
  const isDiscovered = wanted === 'Discovered';
  const fields = [
    ...(site === undefined ? [] : [`spec.siteName=${site}`]),
    ...(wanted === undefined || isDiscovered ? [] : [`status.phase=${wanted}`]),
  ];
  return {
    choice: {
      ...(selector === undefined ? {} : { labelSelector: selector }),
      ...(fields.length === 0 ? {} : { fieldSelector: fields.join(',') }),
    },
    isDiscovered,
  };
}

function watch(
  { client, choice }: { client: HttpClient; choice: MachineChoice },
  ctx: CommandContext,
  show: () => Promise<{ exit: ExitCode; isDone: boolean }>,
): Promise<ExitCode> {
  const isTerminal = ctx.process.stdout.isTTY === true;
  const refresh = isTerminal ? refreshMilliseconds.terminal : refreshMilliseconds.elsewhere;
  const { signal } = ctx.process;
  return repeatOnChange(
    { client, ctx, signal },
    { watched: [{ resource: machines, ...choice }], refreshMilliseconds: refresh },
    show,
  );
}

const collator = new Intl.Collator('en', { numeric: true });

/** `rack-2` before `rack-10`. */
function bySiteAndName(
  a: { readonly site: string; readonly name: string },
  b: { readonly site: string; readonly name: string },
): number {
  return collator.compare(a.site, b.site) || collator.compare(a.name, b.name);
}

/** All of them with their inventories. By site and name. */
export async function listMachines(client: HttpClient, choice: MachineChoice = {}): Promise<Machine[]> {
  const { labelSelector, fieldSelector } = choice;
  const { items } = await client.list<Machine>(machines, {
    ...(labelSelector === undefined ? {} : { labelSelector }),
    ...(fieldSelector === undefined ? {} : { fieldSelector }),
  });
  const placeOf = ({ metadata, spec }: Machine) => ({ site: spec.siteName, name: metadata.name });
  return items.sort((a, b) => bySiteAndName(placeOf(a), placeOf(b)));
}

async function printSummaries(
  found: readonly Machine[],
  { output, watch: isWatched }: ListOptions,
  ctx: CommandContext,
): Promise<void> {
  const summaries = found.map(summarise);
  const text =
    isWatched === true && output === 'json'
      ? JSON.stringify(summaries)
      : await formatDocument(output === 'yaml' ? 'yaml' : 'json', summaries);
  ctx.print(text);
}

function printRows(rows: readonly MachineRow[], options: ListOptions, ctx: CommandContext): void {
  if (options.output === 'name') {
    for (const { name } of rows) ctx.print(name);
    return;
  }
  const { stdout } = ctx.process;
  const isAll = [options.site, options.phase, options.selector].every((flag) => flag === undefined);
  const none = isAll
    ? 'No machines. A box that boots from the network of a rack is found by itself; selvedge machine import makes one by hand.'
    : 'No machine fits; without --site, --phase and --selector all are shown.';
  // A terminal that does not know its width says 0.
  const screen = stdout.isTTY === true ? stdout.columns || undefined : undefined;
  const text = rows.length === 0 ? none : renderMachines(rows, ctx.paint, screen);
  if (options.watch === true && stdout.isTTY === true) ctx.redraw(text);
  else ctx.print(text);
}
