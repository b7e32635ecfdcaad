/** Documented in `selvedge --help`; scripts rely on them. */
export const exitCode = { ok: 0, trouble: 1, usage: 2, unreachable: 3 } as const;
export type ExitCode = (typeof exitCode)[keyof typeof exitCode];

/** The command line or its settings are wrong; no request was made. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** A request failed or an answer is bad news in a way that only the CLI can tell; `hint` says what to do. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  readonly hint: string | undefined;

  constructor(message: string, hint?: string, options?: ErrorOptions) {
    super(message, options);
    this.hint = hint;
  }
}
