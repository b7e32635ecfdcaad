import { machines } from '@selvedge/api';
import { resourcePath } from '@selvedge/kube';
import { runRemoteCommand } from '../link/remote-command.ts';
import { siteError } from '../link/site-pods.ts';
import { connect, type ConnectOptions } from '../program/connect.ts';
import type { CommandContext } from '../program/terminal.ts';
import { exitCode } from '../program/exit-code.ts';
import { getMachine } from './get-machine.ts';

export interface ConsoleOptions extends ConnectOptions {
  readonly name: string;
  /** Only what its inspection system wrote lately. */
  readonly log?: boolean;
}

/** Ctrl-]: as in telnet and virsh. */
const detachByte = 0x1d;

/** The serial console of a machine, through the link of its site. @returns how to exit. */
export async function consoleCommand(options: ConsoleOptions, ctx: CommandContext): Promise<number> {
  await using hub = await connect(options, ctx.process);
  const { metadata, spec } = await getMachine(hub.client, options.name);
  const path = resourcePath(machines, { name: metadata.name, subresource: 'console' });
  try {
    if (options.log === true) {
      const { signal } = ctx.process;
      const text = hub.client.download({
        method: 'GET',
        path: `${path}/log`,
        idleMilliseconds: 30_000,
        signal,
      });
      const decoder = new TextDecoder();
      for await (const part of text)
        ctx.process.stdout.write(printableLines(decoder.decode(part, { stream: true })));
      return exitCode.ok;
    }
    ctx.hint(`Console of ${metadata.name}. Ctrl-] ends it; the machine goes on.`);
    const code = await runRemoteCommand(
      hub.kubeconfig,
      { path, command: [], hasStdin: true, wantsTerminal: true, detachByte },
      ctx,
    );
    ctx.hint('');
    return code;
  } catch (error) {
    throw siteError(spec.siteName, error);
  }
}

/** The log is written by the box: of what could steer a terminal only line breaks and tabs are left. */
function printableLines(text: string): string {
  return text.replace(/[^\P{Cc}\n\t]/gu, '');
}
