import { PassThrough } from 'node:stream';
import { systemClock } from '@selvedge/api/node';
import { runCli } from '../program/run-cli.ts';

export interface Captured {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

interface CaptureOptions {
  readonly env?: Record<string, string>;
  readonly signal?: AbortSignal;
  /** stdout is one. */
  readonly isTerminal?: boolean;
}

/** Runs a command line in this process, with an environment of its own and no terminal. */
export function runCaptured(args: readonly string[], options: CaptureOptions = {}): Promise<Captured> {
  return startCaptured(args, options).ended;
}

/** The same, for a command that goes on until its signal. */
export function startCaptured(
  args: readonly string[],
  options: CaptureOptions,
): { stdout: () => string; ended: Promise<Captured> } {
  const [stdout, stderr] = [capture(), capture()];
  const ended = runCli({
    args,
    env: options.env ?? {},
    stdin: new PassThrough(),
    stdout: Object.assign(stdout.stream, { isTTY: options.isTerminal === true }),
    stderr: stderr.stream,
    clock: systemClock,
    signal: options.signal ?? new AbortController().signal,
  }).then((code) => ({ code, stdout: stdout.text(), stderr: stderr.text() }));
  return { stdout: stdout.text, ended };
}

function capture(): { stream: PassThrough; text: () => string } {
  const stream = new PassThrough();
  let text = '';
  stream.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  return { stream, text: () => text + String(stream.read() ?? '') };
}
