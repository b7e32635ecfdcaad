import { formatProgress, type ItemReport, printable, type Waiting, type WindowState } from '@selvedge/api';
import type { RecordedAct } from '../life/local-acts.ts';
import type { RollbackOrder } from '../life/local-orders.ts';
import type { MachineStatus } from '../rack/life/read-machines.ts';
import type { AgentStatus, ItemStatus } from './read-status.ts';
import { shortName } from './site-directory.ts';
import { formatTable } from './format-table.ts';

/** The status for a person at the site. What the hub and the runtime said in it cannot steer the terminal. */
export function formatStatus(status: AgentStatus, now: Date): string {
  const lines = status.enrolled ? formatSite(status, now) : ['Not enrolled yet.'];
  if (!status.enrolled && status.trouble !== undefined) lines.push(printable(`Waiting: ${status.trouble}`));
  if (status.items.length > 0) lines.push('', ...formatItems(status.items, hubNow(status, now)));
  else if (status.enrolled && status.machines.length === 0) lines.push('', 'No applications yet.');
  if (status.machines.length > 0) lines.push('', ...formatMachines(status.machines, hubNow(status, now)));
  const verdicts = status.items.flatMap((item) => formatVerdicts(item, hubNow(status, now)));
  if (verdicts.length > 0)
    lines.push('', 'Not tried again here, until the hub begins a new rollout:', ...verdicts);
  if (status.orders.length > 0) lines.push('', ...status.orders.map(formatOrder));
  if (status.acts.length > 0) lines.push('', ...formatActs(status.acts, hubNow(status, now)));
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
    ['Service link', describeLink(status, hubNow(status, now))],
    ['Downloads', status.windows && describeWindow(status.windows.download, status)],
    ['Activation', status.windows && describeActivation(status)],
    ['Hold', status.hubHold && `by the hub: ${status.hubHold}`],
    ...status.holds.map((hold): [string, string] => [
      'Hold',
      `${hold.item === undefined ? 'the whole site' : shortName(hold.item)}, by ${hold.by} for ${age(hold.sinceTime, hubNow(status, now))}: ${hold.reason}`,
    ]),
  ];
  return pairs
    .filter(([, value]) => value)
    .map(([name, value]) => `${`${name}${name && ':'}`.padEnd(14)}${printable(value ?? '')}`);
}

function since(status: AgentStatus, now: Date): string {
  return status.troubleSince ? ` (for ${age(status.troubleSince, hubNow(status, now))})` : '';
}

function describeLink({ linkSince, linkTrouble }: AgentStatus, now: Date): string | undefined {
  if (linkSince !== undefined) return `open for ${age(linkSince, now)}`;
  return linkTrouble && `not open: ${linkTrouble}`;
}

function describeClock(offsetMs: number | undefined): string | undefined {
  if (offsetMs === undefined || Math.abs(offsetMs) < 5000) return undefined;
  const direction = offsetMs > 0 ? 'behind' : 'ahead of';
  return `this machine is ${duration(Math.abs(offsetMs))} ${direction} the hub`;
}

function describeActivation(status: AgentStatus): string | undefined {
  const activate = status.windows?.activate;
  if (activate === undefined) return undefined;
  const isHeld = status.hubHold !== undefined || status.holds.some((hold) => hold.item === undefined);
  const text = describeWindow(activate, status);
  return isHeld ? `nothing: on hold (without it: ${text})` : text;
}

function describeWindow(
  { isOpen, changesAt, blackout }: WindowState & { blackout?: string },
  status: AgentStatus,
): string {
  const zone = status.windows?.timeZone ?? 'UTC';
  const why = blackout === undefined ? 'no window is open' : `blackout ${blackout}`;
  const at = changesAt === undefined ? undefined : `${inZone(changesAt, zone)} (${zone})`;
  if (isOpen) return at === undefined ? 'at any time' : `open until ${at}`;
  return at === undefined ? `${why}, and none opens within a year` : `${why}; next opening ${at}`;
}

/** `2026-03-29 02:00`, as the clock on the wall shows it. */
function inZone(time: string, timeZone: string): string {
  try {
    // This locale writes dates as ISO 8601 does.
    return new Date(time).toLocaleString('sv-SE', { timeZone, dateStyle: 'short', timeStyle: 'short' });
  } catch {
    return time;
  }
}

function formatItems(items: readonly ItemStatus[], now: Date): string[] {
  const rows = items.map((item) => [
    item.id,
    item.wantedRelease ?? '-',
    item.activeRelease ?? '-',
    item.report?.state ?? 'Pending',
    item.report ? age(item.report.sinceTime, now) : '-',
    [
      describeWaiting(item.report),
      describeProgress(item.report, now),
      item.report?.reason,
      item.report?.message,
    ]
      .filter(Boolean)
      .join(': '),
  ]);
  return table([['ITEM', 'WANTED', 'ACTIVE', 'STATE', 'SINCE', 'REASON'], ...rows]);
}

function describeWaiting(report: ItemReport | undefined): string | undefined {
  const waiting = report?.waiting;
  if (waiting === undefined) return undefined;
  const until = waiting.until === undefined ? '' : ` until ${waiting.until}`;
  return `waits for ${waitNames[waiting.reason]}${until}`;
}

const waitNames: Readonly<Record<Waiting['reason'], string>> = {
  DownloadWindow: 'a download window',
  ActivateWindow: 'an activate window',
  Blackout: 'the end of a blackout',
  Instant: 'its instant',
  SiteHold: 'a person at the site',
  HubHold: 'the hold of the hub to end',
  Hub: 'the hub',
};

function describeProgress(report: ItemReport | undefined, now: Date): string | undefined {
  const progress = report?.progress;
  if (progress === undefined || report?.state !== 'Preparing') return undefined;
  return formatProgress(progress, now);
}

function formatVerdicts({ id, verdicts }: ItemStatus, now: Date): string[] {
  return verdicts.map(({ release, attempt, reason, message, time }) => {
    const text = `${shortName(id)}: ${release} (try ${attempt}), ${age(time, now)} ago: ${reason}: ${message}`;
    return `  ${printable(text)}`;
  });
}

function formatOrder({ item, by, reason }: RollbackOrder): string {
  return printable(`Ordered by ${by}, not taken up yet: rollback of ${shortName(item.id)} (${reason})`);
}

function formatActs(acts: readonly RecordedAct[], now: Date): string[] {
  const rows = acts.map((act) => [
    `${age(act.time, now)} ago`,
    act.kind,
    act.by ?? 'agent',
    act.isTold ? 'yes' : 'not yet',
    [act.item && shortName(act.item), act.message, act.kind === 'Hold' ? act.reason : undefined]
      .filter(Boolean)
      .join(': '),
  ]);
  return table([['DONE HERE', 'WHAT', 'BY', 'HUB KNOWS', 'DETAILS'], ...rows]);
}

function formatMachines(machines: readonly MachineStatus[], now: Date): string[] {
  const rows = machines.map(({ name, phase, phaseSince, status, power, image = '', address = '' }) => [
    name,
    phase,
    status,
    age(phaseSince, now),
    power,
    image,
    address,
  ]);
  const lines = table([['MACHINE', 'PHASE', 'STATUS', 'SINCE', 'POWER', 'IMAGE', 'ADDRESS'], ...rows]);
  const troubles = machines.flatMap(({ name, status, message }) =>
    status === 'OK' || message === undefined ? [] : [`${name}: ${message}`],
  );
  return troubles.length === 0 ? lines : [...lines, '', ...troubles.map((line) => printable(line))];
}

const table = (cells: readonly string[][]): string[] => formatTable(cells.map((row) => row.map(printable)));

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
