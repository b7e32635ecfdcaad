import { printable, type Rollout } from '@selvedge/api';
import { type ConnectOptions, connect } from '../program/connect.ts';
import { exitCode } from '../program/exit-code.ts';
import { type Command, formatDocument, type OutputFormat } from '../program/terminal.ts';
import { formatAge, formatAgo } from '../render/age.ts';
import { renderTable } from '../render/table.ts';
import { getRollout, rolloutsOf } from './find-rollout.ts';
import { countsText, phaseTone } from './render-rollout.ts';

export interface HistoryOptions extends ConnectOptions {
  readonly application: string;
  readonly namespace?: string;
  readonly output: OutputFormat;
}

export interface HistoryEntry {
  readonly rollout: string;
  readonly release: string;
  readonly phase: string;
  readonly startTime?: string;
  readonly endTime?: string;
  /** `canary 1 (Passed), rest 12 (Progressing)`. */
  readonly waves: string;
  readonly sites: string;
  /** Why it was reverted or stopped. */
  readonly reason: string;
}

/** The rollouts that the hub still keeps of an application, newest first. */
export const historyCommand: Command<HistoryOptions> = async (options, ctx) => {
  await using hub = await connect(options, ctx.process);
  const namespace = options.namespace ?? hub.namespace ?? 'default';
  const meant = await getRollout(hub.client, { name: options.application, namespace });
  const list = await rolloutsOf(hub.client, namespace, meant.spec.application);
  const entries = list.map(historyEntry);
  if (options.output !== 'table') {
    ctx.print(await formatDocument(options.output, entries));
    return exitCode.ok;
  }
  const now = ctx.process.clock.now();
  const rows = list.map((rollout, index) => {
    const entry = entries[index] ?? historyEntry(rollout);
    return [
      entry.rollout,
      entry.release,
      { text: entry.phase, tone: phaseTone(rollout.status?.phase) },
      formatAgo(entry.startTime, now),
      lasted(entry),
      entry.waves,
      entry.sites,
      printable(entry.reason),
    ];
  });
  const header = ['ROLLOUT', 'RELEASE', 'PHASE', 'BEGUN', 'LASTED', 'WAVES', 'SITES', 'REASON'];
  ctx.print(renderTable(header, rows, ctx.paint));
  return exitCode.ok;
};

/** Pure. */
export function historyEntry({ metadata, spec, status }: Rollout): HistoryEntry {
  const reason = status?.breach
    ? `${status.breach.reason}: ${status.breach.message}`
    : status?.phase === 'Paused' || status?.phase === 'Aborted' || status?.phase === 'Blocked'
      ? (status.message ?? '')
      : '';
  return {
    rollout: metadata.name,
    release: spec.release,
    phase: status?.phase ?? 'Not begun',
    ...(status?.startTime === undefined ? {} : { startTime: status.startTime }),
    ...(status?.completionTime === undefined ? {} : { endTime: status.completionTime }),
    waves: (status?.waves ?? []).map((wave) => `${wave.name} ${wave.sites} (${wave.phase})`).join(', '),
    sites: status?.sites === undefined ? '?' : countsText(status.sites),
    reason,
  };
}

function lasted({ startTime, endTime }: HistoryEntry): string {
  if (startTime === undefined || endTime === undefined) return '-';
  return formatAge((Date.parse(endTime) - Date.parse(startTime)) / 1000);
}
