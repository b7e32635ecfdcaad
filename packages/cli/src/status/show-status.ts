import { type ExitCode, exitCode } from '../program/exit-code.ts';
import { type CommandContext, formatDocument, type OutputFormat } from '../program/terminal.ts';
import { renderStatus } from './render-status.ts';
import { isInTrouble, type StatusReport } from './status-report.ts';

export function exitCodeOf(report: StatusReport): ExitCode {
  return isInTrouble(report) ? exitCode.trouble : exitCode.ok;
}

export async function formatStatus(
  report: StatusReport,
  output: OutputFormat,
  ctx: CommandContext,
): Promise<string> {
  return output === 'table' ? renderStatus(report, ctx.paint) : formatDocument(output, report);
}
