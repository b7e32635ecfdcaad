import { type Application, applications, type HeldRemoval, type Site, sites } from '@selvedge/api';
import { type ConnectOptions, connect } from '../program/connect.ts';
import { exitCode } from '../program/exit-code.ts';
import { type Command, formatDocument, type OutputFormat } from '../program/terminal.ts';
import { formatAge, secondsSince } from '../render/age.ts';
import { renderTable } from '../render/table.ts';

export interface ListRemovalsOptions extends ConnectOptions {
  readonly namespace?: string;
  readonly output: OutputFormat;
}

interface Line {
  /** As `show` and `approve` take it. */
  readonly name: string;
  readonly namespace?: string;
  readonly held: HeldRemoval;
}

export const listRemovalsCommand: Command<ListRemovalsOptions> = async (options, ctx) => {
  await using hub = await connect(options, ctx.process);
  const { namespace } = options;
  const [apps, fleet] = await Promise.all([
    hub.client.list<Application>(applications, namespace === undefined ? {} : { namespace }),
    hub.client.list<Site>(sites),
  ]);
  const lines = [
    ...apps.items.flatMap(({ metadata, status }): Line[] => {
      if (status?.heldRemoval === undefined) return [];
      return [{ name: metadata.name, namespace: metadata.namespace ?? '', held: status.heldRemoval }];
    }),
    ...fleet.items.flatMap(({ metadata, status }): Line[] =>
      status?.heldRemoval === undefined
        ? []
        : [{ name: `site/${metadata.name}`, held: { ...status.heldRemoval, sites: 1 } }],
    ),
  ];
  if (options.output !== 'table') ctx.print(await formatDocument(options.output, lines));
  else if (lines.length === 0) ctx.print('No removal waits for approval.');
  else {
    const now = ctx.process.clock.now();
    const header = ['NAMESPACE', 'NAME', 'SITES', 'OF', 'REASON', 'HELD'];
    const rows = lines.map(({ name, namespace: of = '', held }) => [
      of,
      name,
      held.sites,
      held.of,
      held.reason,
      formatAge(secondsSince(held.sinceTime, now)),
    ]);
    ctx.print(renderTable(header, rows, ctx.paint));
    ctx.hint('What exactly would go: selvedge removal show NAME (-n NAMESPACE), site/NAME or --sites');
  }
  return exitCode.ok;
};
