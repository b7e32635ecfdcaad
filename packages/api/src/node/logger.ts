import pino from 'pino';
import type { LogFields, Logger } from '../logger.ts';

/** JSON lines on stderr (or `destination`). `level` as pino's: debug, info, warn, error, silent. */
export function createLogger(
  options: { level?: string; destination?: { write(line: string): void } } = {},
): Logger {
  return adapt(
    pino(
      {
        level: options.level ?? 'info',
        base: null,
        timestamp: pino.stdTimeFunctions.isoTime,
        formatters: { level: (label) => ({ level: label }) },
        serializers: { error: pino.stdSerializers.err },
      },
      options.destination ?? pino.destination({ dest: 2, sync: true }),
    ),
  );
}

function adapt(log: pino.Logger): Logger {
  const write = (level: 'debug' | 'info' | 'warn' | 'error') => (message: string, fields?: LogFields) =>
    fields === undefined ? log[level](message) : log[level](fields, message);
  return {
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    child: (fields) => adapt(log.child(fields)),
  };
}
