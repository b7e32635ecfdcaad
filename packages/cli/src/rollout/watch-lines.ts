import { printable } from '@selvedge/api';
import { countsText } from './render-rollout.ts';
import type { RolloutReport } from './rollout-report.ts';

/** Where nothing can be drawn: one line for each thing that is new since the report before, with the time in front. */
export function watchLines(): (report: RolloutReport) => string[] {
  const told = new Map<string, string>();
  return (report) => {
    const lines: string[] = [];
    const tell = (about: string, text: string) => {
      if (told.get(about) === text) return;
      told.set(about, text);
      lines.push(`${report.observedTime} ${printable(text)}`);
    };
    tell('phase', `${report.name} is ${report.phase ?? 'not begun'}: ${report.message}`);
    for (const wave of report.waves) {
      const counts = (['succeeded', 'prepared', 'pending', 'failed', 'held', 'away', 'reverted'] as const)
        .filter((bucket) => wave[bucket] > 0)
        .map((bucket) => `${wave[bucket]} ${bucket}`);
      const text = `wave ${wave.name} (${wave.phase}): ${counts.join(', ') || `${wave.sites} sites`}`;
      if (wave.phase !== 'Waiting') tell(`wave ${wave.name}`, text);
    }
    for (const { site, reason, message } of report.failures) {
      tell(`failure ${site}`, `failed at ${site}: ${reason}: ${message}`);
    }
    if (report.breach !== undefined) tell('breach', `${report.breach.reason}: ${report.breach.message}`);
    if (report.isOver) {
      if (report.sites !== undefined) tell('end', countsText(report.sites));
      tell('next', `next: ${report.next}`);
    }
    return lines;
  };
}
