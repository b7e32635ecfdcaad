import type { Writable } from 'node:stream';
import { type Clock, escapeControls } from '@selvedge/api';
import type { ExitCode } from './exit-code.ts';

/** All that the CLI has of the process it runs in. */
export interface CliProcess {
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdin: NodeJS.ReadableStream & { readonly isTTY?: boolean };
  readonly stdout: Writable & {
    readonly isTTY?: boolean /** Width of the terminal. */;
    readonly columns?: number;
  };
  readonly stderr: Writable & { readonly isTTY?: boolean };
  readonly clock: Clock;
  /** Fires when the person wants it to stop. */
  readonly signal: AbortSignal;
}

export type OutputFormat = 'table' | 'json' | 'yaml';
export type Tone = 'good' | 'bad' | 'caution' | 'faint' | 'strong';
/** Colours text, or leaves it as it is where nobody would see colours. */
export type Paint = (tone: Tone, text: string) => string;

const codes: Record<Tone, string> = { good: '32', bad: '31', caution: '33', faint: '2', strong: '1' };

export const plainPaint: Paint = (_tone, text) => text;

/** Colours only for a terminal, and not where NO_COLOR is set (https://no-color.org). */
export function paintFor(process: CliProcess): Paint {
  const isColourful =
    process.stdout.isTTY === true && !process.env['NO_COLOR'] && process.env['TERM'] !== 'dumb';
  if (!isColourful) return plainPaint;
  return (tone, text) => (text === '' ? '' : `\u001b[${codes[tone]}m${text}\u001b[0m`);
}

/** What a command gets to do its work with. */
export interface CommandContext {
  readonly process: CliProcess;
  readonly paint: Paint;
  readonly print: (line: string) => void;
  /** For people, beside the answer: stderr. */
  readonly hint: (line: string) => void;
  /** Takes the place of all that the terminal shows. */
  readonly redraw: (text: string) => void;
}

export type Command<Options> = (options: Options, ctx: CommandContext) => Promise<ExitCode>;

export function commandContext(process: CliProcess): CommandContext {
  return {
    process,
    paint: paintFor(process),
    print: (line) => process.stdout.write(`${showControls(line)}\n`),
    hint: (line) => process.stderr.write(`${showControls(line)}\n`),
    redraw: (text) => process.stdout.write(`${clearTerminal}${showControls(text)}\n`),
  };
}

export const clearTerminal = '\u001b[H\u001b[2J\u001b[3J';
const ownColours = new RegExp(`(\u001b\\[(?:0|${Object.values(codes).join('|')})m)`);

/** Of all that could steer a terminal only our own colours are left: much of what is printed was written by others. */
export function showControls(text: string): string {
  return text
    .split(ownColours)
    .map((part, i) => (i % 2 === 1 ? part : escapeControls(part)))
    .join('');
}

/** A document as JSON or YAML. */
export async function formatDocument(format: 'json' | 'yaml', document: unknown): Promise<string> {
  if (format === 'json') return JSON.stringify(document, undefined, 2);
  const { stringify } = await import('yaml');
  return stringify(document).trimEnd();
}
