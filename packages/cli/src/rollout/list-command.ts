import { type Rollout, rollouts } from '@selvedge/api';
import { type ConnectOptions, connect } from '../program/connect.ts';
import { exitCode } from '../program/exit-code.ts';
import { type Command, formatDocument, type OutputFormat } from '../program/terminal.ts';
import { formatAge, secondsSince } from '../render/age.ts';
import { renderTable } from '../render/table.ts';
import { newestFirst } from './find-rollout.ts';
import { countsText, phaseTone } from './render-rollout.ts';
import { rolloutReport } from './rollout-report.ts';

export interface ListOptions extends ConnectOptions {
  readonly namespace?: string;
  readonly allNamespaces?: boolean;
  readonly output: OutputFormat;
}

export const listRolloutsCommand: Command<ListOptions> = async (options, ctx) => {
  await using hub = await connect(options, ctx.process);
  const namespace = options.allNamespaces === true ? undefined : options.namespace;
  const { items } = await hub.client.list<Rollout>(rollouts, namespace === undefined ? {} : { namespace });
  const now = ctx.process.clock.now();
  const groups = Map.groupBy(items, (r) => `${r.metadata.namespace ?? ''}/${r.spec.application}`);
  const reports = [...groups.values()]
    .flatMap((group) => newestFirst(group).slice(0, 1))
    .map((rollout) => rolloutReport(rollout, now))
    .sort((a, b) => compare(a.namespace, b.namespace) || compare(a.application, b.application));
  if (options.output !== 'table') {
    ctx.print(await formatDocument(options.output, reports));
    return exitCode.ok;
  }
  if (reports.length === 0) {
    ctx.print('No rollouts. One begins with: kubectl apply -f application.yaml');
    return exitCode.ok;
  }
  const rows = reports.map((report) => {
    const begun = report.waves.filter((wave) => wave.phase !== 'Waiting').length;
    return [
      `${report.namespace}/${report.application}`,
      report.name,
      report.release,
      { text: report.phase ?? 'Not begun', tone: phaseTone(report.phase) },
      `${begun}/${report.waves.length}`,
      report.startTime === undefined ? '-' : formatAge(secondsSince(report.startTime, now)),
      report.sites === undefined ? '?' : countsText(report.sites),
    ];
  });
  ctx.print(
    renderTable(['APPLICATION', 'ROLLOUT', 'RELEASE', 'PHASE', 'WAVE', 'AGE', 'SITES'], rows, ctx.paint),
  );
  return exitCode.ok;
};

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
