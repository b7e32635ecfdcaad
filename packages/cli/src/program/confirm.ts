import { CommandError, UsageError } from './exit-code.ts';
import { type CliProcess, showControls } from './terminal.ts';

export interface Confirmation {
  /** With its verb as a question at the end: `Revoke? [y/N] `. */
  readonly question: string;
  /** What is said where nobody can answer. */
  readonly otherwise: string;
  /** What is said when the answer is no: `nothing was revoked`. */
  readonly declined: string;
}

/** Asks a person; returns when the answer is yes. Throws CommandError otherwise, UsageError where nobody can answer. */
export async function confirm(
  { stdin, stderr, signal }: CliProcess,
  { question, otherwise, declined }: Confirmation,
): Promise<void> {
  if (stdin.isTTY !== true) throw new UsageError(otherwise);
  const { createInterface } = await import('node:readline/promises');
  const prompt = createInterface({ input: stdin, output: stderr });
  try {
    const answer = await prompt.question(showControls(question), { signal });
    if (!/^y(es)?$/i.test(answer.trim())) throw new CommandError(declined);
  } finally {
    prompt.close();
  }
}
