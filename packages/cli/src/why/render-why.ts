import { printable } from '@selvedge/api';
import type { Paint, Tone } from '../program/terminal.ts';
import type { WhyReport } from './explain-delivery.ts';
import type { WhyVerdict } from './why-verdict.ts';

const tones: Partial<Record<WhyVerdict, Tone>> = {
  Running: 'good',
  Failed: 'bad',
  Refused: 'bad',
  Degraded: 'bad',
  Blocked: 'bad',
  NotReleased: 'bad',
  NotFound: 'bad',
  Reverted: 'bad',
  RemovalHeld: 'bad',
};

/** For people: the answer, the chain, the logs, what comes next. */
export function renderWhy(report: WhyReport, paint: Paint): string {
  const verdict = paint(tones[report.verdict] ?? 'caution', report.verdict);
  const parts = [`${verdict}: ${printable(report.summary)}.`];
  const topicWidth = Math.max(0, ...report.chain.map((step) => step.topic.length));
  let lastTopic = '';
  const chain = report.chain.map((step) => {
    const topic = (step.topic === lastTopic ? '' : step.topic).padEnd(topicWidth);
    lastTopic = step.topic;
    const text = printable(step.text);
    return `  ${paint('strong', topic)}  ${step.isFault === true ? paint('bad', text) : text}`;
  });
  if (chain.length > 0) parts.push(chain.join('\n'));
  if (report.logs.length > 0) {
    const lines = report.logs.map((line) => `  ${paint('faint', '|')} ${printable(line)}`);
    parts.push(['Last lines of the container:', ...lines].join('\n'));
  }
  const commands = report.commands.map((command) => `  ${paint('faint', command)}`);
  parts.push([`Next: ${printable(report.next)}`, ...commands].join('\n'));
  return parts.join('\n\n');
}
