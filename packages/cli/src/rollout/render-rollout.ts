import { printable, type RolloutPhase, type SiteCounts, type WaveStatus } from '@selvedge/api';
import type { Paint, Tone } from '../program/terminal.ts';
import { formatAge, formatAgo, secondsSince } from '../render/age.ts';
import { type Cell, renderTable } from '../render/table.ts';
import type { RolloutReport } from './rollout-report.ts';

const barWidth = 20;
const buckets = ['succeeded', 'prepared', 'pending', 'failed', 'held', 'away', 'reverted'] as const;
const bucketTones: Partial<Record<(typeof buckets)[number], Tone>> = {
  failed: 'bad',
  held: 'caution',
  away: 'caution',
};

/** For people: where it stands, wave by wave, what it waits for, what went wrong, what comes next. */
export function renderRollout(report: RolloutReport, paint: Paint): string {
  const parts = [
    headline(report, paint),
    waveTable(report, paint),
    details(report, paint),
    failures(report, paint),
    next(report, paint),
  ];
  return parts.filter((part) => part !== '').join('\n\n');
}

export function phaseTone(phase: RolloutPhase | undefined): Tone {
  switch (phase) {
    case 'Completed':
      return 'good';
    case 'Reverting':
    case 'Reverted':
    case 'Blocked':
      return 'bad';
    case 'Paused':
    case 'Aborted':
      return 'caution';
    case 'Superseded':
      return 'faint';
    default:
      return 'strong';
  }
}

function headline(report: RolloutReport, paint: Paint): string {
  const now = new Date(report.observedTime);
  const phase = paint(phaseTone(report.phase), report.phase ?? 'Not begun');
  const begun = report.startTime === undefined ? '' : `, begun ${formatAgo(report.startTime, now)}`;
  const ended = report.completionTime === undefined ? '' : `, ended ${formatAgo(report.completionTime, now)}`;
  const title = `${paint('strong', report.name)} (${report.release}) is ${phase}${begun}${ended}: ${printable(report.message)}`;
  return report.sites === undefined ? title : `${title}\n${countsText(report.sites)}`;
}

/** `812 sites: 795 running, 10 prepared, 7 away`; buckets of nobody are left out. */
export function countsText({ wanted, ...counts }: SiteCounts): string {
  const order = [
    'running',
    'progressing',
    'prepared',
    'waiting',
    'held',
    'failed',
    'away',
    'overdue',
  ] as const;
  const parts = order.filter((bucket) => counts[bucket] > 0).map((bucket) => `${counts[bucket]} ${bucket}`);
  return `${wanted} ${wanted === 1 ? 'site' : 'sites'}${parts.length === 0 ? '' : `: ${parts.join(', ')}`}`;
}

function waveTable({ waves, observedTime }: RolloutReport, paint: Paint): string {
  if (waves.length === 0) return '';
  const now = new Date(observedTime);
  return renderTable(
    ['WAVE', 'PHASE', 'SITES', 'PROGRESS', 'COUNTS', 'SINCE'],
    waves.map((wave) => [
      wave.name,
      { text: wave.phase, tone: waveTone(wave) },
      wave.sites,
      bar(wave),
      countsOf(wave),
      sinceOf(wave, now),
    ]),
    paint,
  );
}

function waveTone({ phase }: WaveStatus): Tone {
  if (phase === 'Passed') return 'good';
  if (phase === 'Waiting') return 'faint';
  if (phase === 'AwaitingApproval') return 'caution';
  return phase === 'Reverting' || phase === 'Reverted' ? 'bad' : 'strong';
}

/** `#` runs it, `=` has it prepared, `x` failed, `.` has not answered. */
function bar(wave: WaveStatus): Cell {
  const all = Math.max(1, wave.sites);
  const isBack = wave.phase === 'Reverting' || wave.phase === 'Reverted';
  const done = isBack ? wave.reverted : wave.succeeded;
  let text = '';
  let before = 0;
  for (const [count, mark] of [
    [done, isBack ? '<' : '#'],
    [isBack ? 0 : wave.prepared, '='],
    [isBack ? 0 : wave.failed, 'x'],
  ] as const) {
    before += count;
    const end = Math.min(barWidth, Math.round((before / all) * barWidth));
    // A few failures among many sites must not be rounded away.
    const least = count > 0 && mark === 'x' && end === text.length ? 1 : 0;
    text += mark.repeat(Math.max(least, end - text.length));
  }
  return `[${text.slice(0, barWidth).padEnd(barWidth, '.')}]`;
}

function countsOf(wave: WaveStatus): Cell {
  const shown = buckets.filter((bucket) => wave[bucket] > 0);
  const text = shown.map((bucket) => `${wave[bucket]} ${bucket}`).join(', ');
  const tone = shown.map((bucket) => bucketTones[bucket]).find((found) => found !== undefined);
  return tone === undefined ? text : { text, tone };
}

function sinceOf({ phase, passTime, activateTime, healthySince, startTime }: WaveStatus, now: Date): string {
  const time =
    phase === 'Passed' ? passTime : phase === 'Soaking' ? healthySince : (activateTime ?? startTime);
  if (time === undefined) return '-';
  const seconds = secondsSince(time, now);
  return seconds < 0 ? `in ${formatAge(-seconds)}` : formatAge(seconds);
}

function details({ gates, activation, breach, observedTime }: RolloutReport, paint: Paint): string {
  const lines = gates.map(({ isMet, wave, text }) => {
    const mark = isMet ? paint('good', '+') : paint('caution', '-');
    return `  ${mark} ${wave}: ${printable(text)}`;
  });
  if (lines.length > 0) lines.unshift('Before the next wave (+ met, - not yet):');
  if (activation !== undefined && activation.sites > 1) {
    lines.push(`${activation.sites} sites switched within ${skewText(activation.skewSeconds)} of each other`);
  }
  if (breach !== undefined) {
    const where = breach.wave === '' ? '' : ` in wave ${breach.wave}`;
    const text = `${breach.reason}${where}, ${formatAgo(breach.time, new Date(observedTime))}: ${printable(breach.message)}`;
    lines.push(paint('bad', text));
  }
  return lines.join('\n');
}

function skewText(seconds: number): string {
  return seconds < 10 ? `${seconds.toFixed(1)}s` : formatAge(seconds);
}

function failures(report: RolloutReport, paint: Paint): string {
  if (report.failures.length === 0) return '';
  const shown = report.failures.slice(0, 10).map(({ site, reason, message }) => {
    return `  ${paint('bad', 'x')} ${paint('strong', site)}: ${printable(`${reason}: ${message}`)}`;
  });
  const more = report.failures.length - shown.length;
  return ['Failures:', ...shown, ...(more > 0 ? [`  and ${more} more; -o json has the first 20`] : [])].join(
    '\n',
  );
}

function next(report: RolloutReport, paint: Paint): string {
  const commands = report.commands.map((command) => `  ${paint('faint', command)}`);
  return [`Next: ${report.next}`, ...commands].join('\n');
}
