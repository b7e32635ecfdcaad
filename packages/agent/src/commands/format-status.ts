import type { AgentStatus, ItemStatus } from './read-status.ts';

/** The status for a person at the site. */
export function formatStatus(status: AgentStatus, now: Date): string {
  const lines = status.enrolled ? formatSite(status, now) : ['Not enrolled yet.'];
  if (!status.enrolled && status.trouble !== undefined) lines.push(`Waiting: ${status.trouble}`);
  if (status.items.length > 0) lines.push('', ...formatItems(status.items, hubNow(status, now)));
  else if (status.enrolled) lines.push('', 'No applications yet.');
  return `${lines.join('\n')}\n`;
}

function formatSite(status: AgentStatus, now: Date): string[] {
  const pairs: [string, string | undefined][] = [
    ['Site', status.site],
    ['Hub', status.hub],
    ['Epoch', String(status.epoch)],
    [
      'Last contact',
      status.lastContactTime ? `${age(status.lastContactTime, hubNow(status, now))} ago` : 'never',
    ],
    ['Clock', describeClock(status.clockOffsetMs)],
    ['Key', status.keyRefusal && `REFUSED by the hub: ${status.keyRefusal}`],
    ['', status.keyRefusal && 'Applications run on. To join again: start the agent with a new token.'],
    ['Trouble', status.trouble && `${status.trouble}${since(status, now)}`],
  ];
  return pairs
    .filter(([, value]) => value)
    .map(([name, value]) => `${`${name}${name && ':'}`.padEnd(14)}${value}`);
}

function since(status: AgentStatus, now: Date): string {
  return status.troubleSince ? ` (for ${age(status.troubleSince, hubNow(status, now))})` : '';
}

function describeClock(offsetMs: number | undefined): string | undefined {
  if (offsetMs === undefined || Math.abs(offsetMs) < 5000) return undefined;
  const direction = offsetMs > 0 ? 'behind' : 'ahead of';
  return `this machine is ${duration(Math.abs(offsetMs))} ${direction} the hub`;
}

function formatItems(items: readonly ItemStatus[], now: Date): string[] {
  const rows = items.map((item) => [
    item.id,
    item.wantedRelease ?? '-',
    item.report?.state ?? 'Pending',
    item.report ? age(item.report.sinceTime, now) : '-',
    [item.report?.reason, item.report?.message].filter(Boolean).join(': '),
  ]);
  return table([['ITEM', 'RELEASE', 'STATE', 'SINCE', 'REASON'], ...rows]);
}

function table(rows: readonly string[][]): string[] {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  return rows.map((row) =>
    row
      .map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd((widths[column] ?? 0) + 2)))
      .join('')
      .trimEnd(),
  );
}

function hubNow(status: AgentStatus, now: Date): Date {
  return new Date(now.getTime() + (status.clockOffsetMs ?? 0));
}

function age(time: string, now: Date): string {
  return duration(Math.max(0, now.getTime() - Date.parse(time)));
}

function duration(milliseconds: number): string {
  const seconds = Math.round(milliseconds / 1000);
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)}m`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)}h`;
  return `${Math.round(seconds / 86_400)}d`;
}
