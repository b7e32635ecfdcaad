import { printable } from '@selvedge/api';
import { formatAgo } from '../render/age.ts';
import type { HeldRemovalReport } from './read-removal.ts';

const shownSites = 100;
const lineWidth = 100;

/** The whole of what a person has to know before they approve. */
export function renderRemoval(
  report: HeldRemovalReport,
  { now, isWhole }: { now: Date; isWhole: boolean },
): string {
  const { sites, of, title } = report;
  const shown = isWhole ? sites : sites.slice(0, shownSites);
  const rest = sites.length - shown.length;
  const volumes = report.volumes ? ' [--volumes]' : '';
  return [
    `Held     ${formatAgo(report.sinceTime, now)}, ${report.reason}: ${printable(report.message)}`,
    `Goes     from ${sites.length} of ${of}. ${report.effect}`,
    `Stays    ${report.stays}`,
    `Digest   ${report.digest}`,
    `Sites    ${wrap(shown).join(`\n         `)}`,
    ...(rest > 0 ? [`         and ${rest} more: --all shows every one`] : []),
    '',
    `To let exactly this go: selvedge removal approve ${title} --digest ${report.digest}${volumes}`,
  ].join('\n');
}

/** Names side by side, in lines that fit. */
function wrap(names: readonly string[]): string[] {
  const lines: string[] = [];
  for (const name of names) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + name.length + 2 <= lineWidth)
      lines[lines.length - 1] = `${last}, ${name}`;
    else lines.push(name);
  }
  return lines;
}
