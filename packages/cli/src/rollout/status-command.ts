import { type ConnectOptions, connect } from '../program/connect.ts';
import { exitCode } from '../program/exit-code.ts';
import { type Command, formatDocument, type OutputFormat } from '../program/terminal.ts';
import { getRollout } from './find-rollout.ts';
import { renderRollout } from './render-rollout.ts';
import { rolloutReport } from './rollout-report.ts';

export interface RolloutOptions extends ConnectOptions {
  readonly name: string;
  readonly namespace?: string;
  readonly output: OutputFormat;
}

export const statusCommand: Command<RolloutOptions> = async (options, ctx) => {
  await using hub = await connect(options, ctx.process);
  const namespace = options.namespace ?? hub.namespace ?? 'default';
  const rollout = await getRollout(hub.client, { name: options.name, namespace });
  const report = rolloutReport(rollout, ctx.process.clock.now());
  ctx.print(
    options.output === 'table'
      ? renderRollout(report, ctx.paint)
      : await formatDocument(options.output, report),
  );
  return report.isTrouble ? exitCode.trouble : exitCode.ok;
};
