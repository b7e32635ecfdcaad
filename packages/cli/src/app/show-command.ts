import { type ConnectOptions, connect } from '../program/connect.ts';
import { exitCode } from '../program/exit-code.ts';
import { type Command, formatDocument, type OutputFormat } from '../program/terminal.ts';
import { getApplication } from './get-application.ts';
import { faultsOf, renderApp } from './render-app.ts';

export interface AppOptions extends ConnectOptions {
  readonly name: string;
  readonly namespace?: string;
  readonly output: OutputFormat;
}

export const showAppCommand: Command<AppOptions> = async (options, ctx) => {
  await using hub = await connect(options, ctx.process);
  const namespace = options.namespace ?? hub.namespace ?? 'default';
  const application = await getApplication(hub.client, { name: options.name, namespace });
  ctx.print(
    options.output === 'table'
      ? renderApp(application, ctx.process.clock.now(), ctx.paint)
      : await formatDocument(options.output, application),
  );
  return faultsOf(application).length > 0 ? exitCode.trouble : exitCode.ok;
};
