import { printable, type SiteCounts } from '@selvedge/api';
import type { Paint, Tone } from '../program/terminal.ts';
import { formatAge, secondsSince } from '../render/age.ts';
import { type Cell, renderTable } from '../render/table.ts';
import { phaseTone } from '../rollout/render-rollout.ts';
import type { ApplicationRow, SiteRow, StatusReport } from './status-report.ts';

/** For people: problems first, then applications, then sites. */
export function renderStatus(report: StatusReport, paint: Paint): string {
  return [
    problems(report, paint),
    applicationTable(report, paint),
    siteTable(report, paint),
    machineLine(report, paint),
  ]
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

function machineLine({ machines }: StatusReport, paint: Paint): string {
  if (machines === undefined) return '';
  const phases = Object.entries(machines.phases).map(([phase, count]) => `${count} ${phase}`);
  const found =
    machines.discovered === 0
      ? ''
      : `\n${paint('caution', '!')} ${machines.discovered} found and not accepted: selvedge machine accept NAME`;
  return `${paint('strong', `${machines.total} ${machines.total === 1 ? 'machine' : 'machines'}`)}: ${phases.join(', ')}${found}`;
}

function applicationTable(report: StatusReport, paint: Paint): string {
  if (report.applications.length === 0) {
    return 'No applications. Make one with: kubectl apply -f application.yaml';
  }
  const shown = buckets.filter(
    ({ bucket, isRare }) =>
      isRare !== true || report.applications.some(({ sites }) => (sites?.[bucket] ?? 0) > 0),
  );
  const names = shown.map(({ bucket }) => bucket.toUpperCase());
  const header = ['APPLICATION', 'RELEASE', ...names, 'ROLLOUT', 'MESSAGE'];
  return renderTable(
    header,
    report.applications.map((row) => applicationCells(row, shown)),
    paint,
  );
}

interface Bucket {
  readonly bucket: keyof SiteCounts;
  readonly tone?: Tone;
  /** Shown only where some application has sites in it. */
  readonly isRare?: boolean;
}

const buckets: readonly Bucket[] = [
  { bucket: 'wanted' },
  { bucket: 'running' },
  { bucket: 'progressing' },
  { bucket: 'prepared', isRare: true },
  { bucket: 'held', tone: 'caution', isRare: true },
  { bucket: 'failed', tone: 'bad' },
  { bucket: 'away', tone: 'caution' },
  { bucket: 'overdue', tone: 'bad', isRare: true },
  { bucket: 'waiting' },
];

function applicationCells(row: ApplicationRow, shown: readonly Bucket[]): Cell[] {
  const count = ({ bucket, tone }: Bucket): Cell => {
    const n = row.sites?.[bucket];
    if (n === undefined) return '?';
    return n > 0 && tone !== undefined ? { text: String(n), tone } : n;
  };
  return [
    `${row.namespace}/${row.name}`,
    row.release ?? '-',
    ...shown.map(count),
    row.rollout?.phase === undefined ? '-' : { text: row.rollout.phase, tone: phaseTone(row.rollout.phase) },
    row.message,
  ];
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
