import { type Delivery, deliveries, type Site } from '@selvedge/api';
import { type ConnectOptions, connect } from '../program/connect.ts';
import { type ExitCode, exitCode } from '../program/exit-code.ts';
import { type Command, formatDocument, type OutputFormat } from '../program/terminal.ts';
import { faultyConditions } from '../status/status-report.ts';
import { getSite } from './get-site.ts';
import { renderSite } from './render-site.ts';

export interface ShowOptions extends ConnectOptions {
  readonly site: string;
  readonly output: OutputFormat;
}

export const showCommand: Command<ShowOptions> = async (options, ctx) => {
  await using hub = await connect(options, ctx.process);
  const site = await getSite(hub.client, options.site);
  const { items } = await hub.client.list<Delivery>(deliveries, {
    labelSelector: `selvedge.dev/site=${options.site}`,
  });
  ctx.print(
    options.output === 'table'
      ? renderSite({ site, deliveries: items, now: ctx.process.clock.now() }, ctx.paint)
      : await formatDocument(options.output, { site, deliveries: items }),
  );
  return exitCodeOf(site, items);
};

function exitCodeOf(site: Site, items: readonly Delivery[]): ExitCode {
  const isFailed = items.some((d) => ['Failed', 'Refused', 'Degraded'].includes(d.status.state));
  const isUnwell = site.status?.connectivity === 'Overdue' || faultyConditions(site).length > 0;
  return isFailed || isUnwell ? exitCode.trouble : exitCode.ok;
}
