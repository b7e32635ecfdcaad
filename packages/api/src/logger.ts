/** Fields of a log line, one spelling each: `object`, `site`, `resourceVersion`, `durationMs`, `error`, … Never a secret. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Structured log. The message is a constant, data goes into fields. */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** Adds fields to every line, as `{ component: 'gateway' }`. */
  child(fields: LogFields): Logger;
}
