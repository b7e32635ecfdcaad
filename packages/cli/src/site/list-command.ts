import { type Site, sites } from '@selvedge/api';
import { type ConnectOptions, connect } from '../program/connect.ts';
import { exitCode } from '../program/exit-code.ts';
import { type Command, formatDocument, type OutputFormat } from '../program/terminal.ts';
import { renderSites } from '../status/render-status.ts';
import { buildStatusReport } from '../status/status-report.ts';

export interface ListOptions extends ConnectOptions {
  readonly output: OutputFormat;
}

export const listCommand: Command<ListOptions> = async (options, ctx) => {
  await using hub = await connect(options, ctx.process);
  const { items } = await hub.client.list<Site>(sites);
  const now = ctx.process.clock.now();
  const report = buildStatusReport({ now, sites: items, applications: [], rollouts: [] });
  ctx.print(
    options.output === 'table'
      ? renderSites(report.sites, now, ctx.paint)
      : await formatDocument(options.output, report.sites),
  );
  return exitCode.ok;
};
