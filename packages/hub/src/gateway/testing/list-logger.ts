import type { LogFields, Logger } from '@selvedge/api';

/** A logger that keeps every line, debug too, as text. */
export function listLogger(lines: string[]): Logger {
  const write = (level: string) => (message: string, fields?: LogFields) => {
    lines.push(`${level} ${message} ${JSON.stringify(fields ?? {})}`);
  };
  return {
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    child: () => listLogger(lines),
  };
}
