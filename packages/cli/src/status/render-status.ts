import type { Paint, Tone } from '../program/terminal.ts';
import { formatAge, secondsSince } from '../render/age.ts';
import { type Cell, printable, renderTable } from '../render/table.ts';
import type { ApplicationRow, SiteRow, StatusReport } from './status-report.ts';

/** For people: problems first, then applications, then sites. */
export function renderStatus(report: StatusReport, paint: Paint): string {
  return [problems(report, paint), applicationTable(report, paint), siteTable(report, paint)]
    .filter((part) => part !== '')
    .join('\n\n');
}

function problems(report: StatusReport, paint: Paint): string {
  if (report.problems.length === 0) return '';
  const lines = report.problems.flatMap(({ severity, about, message, command }) => [
    `${paint(severity === 'error' ? 'bad' : 'caution', severity === 'error' ? '✗' : '!')} ${paint('strong', about)}: ${printable(message)}`,
    paint('faint', `    ${command}`),
  ]);
  const more =
    report.moreProblems > 0 ? [`  and ${report.moreProblems} more; -o json has counts of all`] : [];
  return [...lines, ...more].join('\n');
}

function applicationTable(report: StatusReport, paint: Paint): string {
  if (report.applications.length === 0) {
    return 'No applications. Make one with: kubectl apply -f application.yaml';
  }
  const header = [
    'APPLICATION',
    'RELEASE',
    'WANTED',
    'RUNNING',
    'PROGRESSING',
    'FAILED',
    'AWAY',
    'WAITING',
    'ROLLOUT',
    'MESSAGE',
  ];
  return renderTable(header, report.applications.map(applicationCells), paint);
}

function applicationCells(row: ApplicationRow): Cell[] {
  const { sites } = row;
  const count = (n: number | undefined, tone?: Tone): Cell =>
    n === undefined ? '?' : n > 0 && tone !== undefined ? { text: String(n), tone } : n;
  return [
    `${row.namespace}/${row.name}`,
    row.release ?? '-',
    count(sites?.wanted),
    count(sites?.running),
    count(sites?.progressing),
    count(sites?.failed, 'bad'),
    count(sites?.away, 'caution'),
    count(sites?.waiting),
    row.rollout?.phase === undefined ? '-' : { text: row.rollout.phase, tone: phaseTone(row.rollout.phase) },
    row.message,
  ];
}

function phaseTone(phase: string): Tone {
  if (phase === 'Completed') return 'good';
  return phase === 'Paused' ? 'caution' : 'strong';
}

function siteTable(report: StatusReport, paint: Paint): string {
  return renderSites(report.sites, new Date(report.observedTime), paint);
}

export function renderSites(sites: readonly SiteRow[], now: Date, paint: Paint): string {
  if (sites.length === 0) return 'No sites. Let one join with: selvedge site token NAME';
  const header = ['SITE', 'CONNECTIVITY', 'LAST SEEN', 'WANTED', 'RUNNING', 'FAILED', 'AGENT'];
  return renderTable(
    header,
    sites.map((site) => siteCells(site, now)),
    paint,
  );
}

function siteCells(site: SiteRow, now: Date): Cell[] {
  const { applications } = site;
  const failed = applications?.failed;
  return [
    site.name,
    { text: site.connectivity, tone: connectivityTone(site.connectivity) },
    site.lastSeenTime === undefined ? '-' : formatAge(secondsSince(site.lastSeenTime, now)),
    applications?.wanted ?? '?',
    applications?.running ?? '?',
    failed === undefined ? '?' : failed > 0 ? { text: String(failed), tone: 'bad' } : failed,
    site.agentVersion ?? '-',
  ];
}

export function connectivityTone(connectivity: SiteRow['connectivity']): Tone {
  switch (connectivity) {
    case 'Connected':
      return 'good';
    case 'Away':
      return 'caution';
    case 'Overdue':
      return 'bad';
    case 'NeverConnected':
    case 'Unknown':
      return 'faint';
  }
}
