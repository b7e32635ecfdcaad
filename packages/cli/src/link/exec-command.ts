import { connect, type ConnectOptions } from '../program/connect.ts';
import { UsageError } from '../program/exit-code.ts';
import type { CommandContext } from '../program/terminal.ts';
import { runRemoteCommand } from './remote-command.ts';
import { getContainer, getPods, podPath, type SitePod, siteError } from './site-pods.ts';

export interface ExecOptions extends ConnectOptions {
  readonly site: string;
  readonly application: string;
  readonly namespace?: string;
  readonly container?: string;
  readonly pod?: string;
  readonly stdin?: boolean;
  readonly tty?: boolean;
  readonly command: readonly string[];
}

/** `selvedge exec SITE APPLICATION -- COMMAND`. @returns the exit code of the command. */
export async function execCommand(options: ExecOptions, ctx: CommandContext): Promise<number> {
  const { site, application, command } = options;
  if (command.length === 0) {
    throw new UsageError(`no command given: selvedge exec ${site} ${application} -- sh -c 'ls /'`);
  }
  await using connection = await connect(options, ctx.process);
  const namespace = options.namespace ?? connection.namespace ?? 'default';
  const pods = await getPods(connection.client, { site, namespace, application }, options.pod);
  const pod = chooseRunning(pods);
  const container = getContainer(pod, options.container);
  if (pods.length > 1) ctx.hint(`in pod ${pod.metadata.name}, one of ${pods.length}; --pod takes another`);
  try {
    return await runRemoteCommand(
      connection.kubeconfig,
      {
        path: `${podPath(site, pod)}/exec`,
        container,
        command,
        hasStdin: options.stdin === true,
        wantsTerminal: options.tty === true,
      },
      ctx,
    );
  } catch (error) {
    throw siteError(site, error);
  }
}

/** One that is ready, else one that runs, else the first: it will say why not. */
function chooseRunning(pods: readonly SitePod[]): SitePod {
  const isReady = ({ status }: SitePod) =>
    status?.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') === true;
  const isRunning = ({ status }: SitePod) => status?.phase === 'Running';
  return (pods.find(isReady) ?? pods.find(isRunning) ?? pods[0]) as SitePod;
}
