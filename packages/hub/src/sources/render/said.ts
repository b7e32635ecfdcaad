import { escapePattern } from '../escape-pattern.ts';
import { tmpdir } from 'node:os';

const maxSaid = 1_000;

/** Why a program failed, in one line of what it said, without paths of this machine. */
export function said(stderr: string, root: string): string {
  const lines = stderr
    .replaceAll(`${root}/`, '')
    .replaceAll(root, '.')
    .replaceAll(new RegExp(`${escapePattern(tmpdir())}/selvedge-[\\w-]+`, 'g'), '.')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !/^(?:W\d{4} |# Warning|WARNING:|level=|Use --debug)/i.test(line));
  const line =
    lines.findLast((text) => /^(?:error: |E\d{4} )/i.test(text)) ?? lines.at(-1) ?? 'it said nothing';
  const text = line.replace(/^E\d{4} \S+\s+\d+ \S+\] |^error: /i, '');
  return text.length > maxSaid ? `${text.slice(0, maxSaid)}…` : text;
}
