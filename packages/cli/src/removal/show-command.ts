import { type ConnectOptions, connect } from '../program/connect.ts';
import { exitCode } from '../program/exit-code.ts';
import { type Command, formatDocument, type OutputFormat } from '../program/terminal.ts';
import { readRemoval } from './read-removal.ts';
import { removalTarget } from './removal-target.ts';
import { renderRemoval } from './render-removal.ts';

export interface ShowRemovalOptions extends ConnectOptions {
  readonly name: string | undefined;
  readonly sites?: true;
  readonly namespace?: string;
  readonly all?: true;
  readonly output: OutputFormat;
}

export const showRemovalCommand: Command<ShowRemovalOptions> = async (options, ctx) => {
  await using hub = await connect(options, ctx.process);
  const report = await readRemoval(hub.client, removalTarget(options, hub.namespace));
  const { objects: _, ...document } = report;
  ctx.print(
    options.output === 'table'
      ? renderRemoval(report, { now: ctx.process.clock.now(), isWhole: options.all === true })
      : await formatDocument(options.output, document),
  );
  return exitCode.ok;
};
