import { type Application, applications, type Rollout, rollouts, type Site, sites } from '@selvedge/api';
import type { HttpClient } from '@selvedge/kube';
import { type ConnectOptions, connect } from '../program/connect.ts';
import type { Command, OutputFormat } from '../program/terminal.ts';
import { readVisibleMachines } from './machine-counts.ts';
import { exitCodeOf, formatStatus } from './show-status.ts';
import { buildStatusReport, type StatusReport } from './status-report.ts';

export interface StatusOptions extends ConnectOptions {
  readonly output: OutputFormat;
  readonly namespace?: string;
  readonly allNamespaces?: boolean;
  readonly watch?: boolean;
}

export const statusCommand: Command<StatusOptions> = async (options, ctx) => {
  await using hub = await connect(options, ctx.process);
  const namespace = options.allNamespaces === true ? undefined : options.namespace;
  const read = () => readStatus(hub.client, namespace, ctx.process.clock.now());
  if (options.watch === true) {
    const { watchStatus } = await import('./watch-status.ts');
    // Awaited here: the connection closes when this function is left.
    return await watchStatus({ client: hub.client, read, namespace, output: options.output, ctx });
  }
  const report = await read();
  ctx.print(await formatStatus(report, options.output, ctx));
  return exitCodeOf(report);
};

async function readStatus(
  client: HttpClient,
  namespace: string | undefined,
  now: Date,
): Promise<StatusReport> {
  const inNamespace = namespace === undefined ? {} : { namespace };
  const [siteList, applicationList, rolloutList, machineRows] = await Promise.all([
    client.list<Site>(sites),
    client.list<Application>(applications, inNamespace),
    client.list<Rollout>(rollouts, inNamespace),
    readVisibleMachines(client),
  ]);
  return buildStatusReport({
    now,
    sites: siteList.items,
    applications: applicationList.items,
    rollouts: rolloutList.items,
    machines: machineRows,
  });
}
