import type { Command } from 'commander';
import type { ExitCode } from '../program/exit-code.ts';
import { type GlobalOptions, outputOption } from '../program/shared-options.ts';
import type { CommandContext } from '../program/terminal.ts';
import type { ChangeKind } from './change-command.ts';

const changes: readonly { kind: ChangeKind; description: string }[] = [
  { kind: 'pause', description: 'hold a rollout: nothing more is offered or activated' },
  { kind: 'resume', description: 'let a rollout go on that was paused or aborted by a person' },
  { kind: 'abort', description: 'stop a rollout where it is; sites keep what they have' },
];

/** What there is to see and to decide of rollouts. NAME is an Application (its newest rollout is meant) or a Rollout. */
export function addRolloutCommands(
  program: Command,
  ctx: CommandContext,
  exit: (code: ExitCode) => void,
): void {
  const rollout = program
    .command('rollout')
    .description('releases on their way: watch them, hold them, let them go on, take them back');
  rollout
    .command('list')
    .description('the newest rollout of every application')
    .addOption(outputOption())
    .option('-n, --namespace <name>', 'only those of this namespace')
    .option('-A, --all-namespaces', 'those of all namespaces (the default)')
    .action(async (_options, command: Command) => {
      const { listRolloutsCommand } = await import('./list-command.ts');
      exit(await listRolloutsCommand(command.optsWithGlobals(), ctx));
    });
  withName(
    rollout.command('status').description('waves, counts, failures, and what a rollout waits for'),
  ).action(async (...[name, , command]: [string, unknown, Command]) => {
    const { statusCommand } = await import('./status-command.ts');
    exit(await statusCommand({ ...command.optsWithGlobals<GlobalOptions>(), name }, ctx));
  });
  withName(
    rollout
      .command('watch')
      .description('the same, live, until it is over; exits 0 when completed, 1 when not')
      .option('--timeout <duration>', 'give up after so long, with exit code 1 (default: never)'),
  ).action(async (...[name, , command]: [string, unknown, Command]) => {
    const { watchCommand } = await import('./watch-command.ts');
    exit(
      await watchCommand({ ...command.optsWithGlobals<GlobalOptions & { timeout?: string }>(), name }, ctx),
    );
  });
  for (const { kind, description } of changes) {
    withName(rollout.command(kind).description(description)).action(
      async (...[name, , command]: [string, unknown, Command]) => {
        const { changeCommand } = await import('./change-command.ts');
        exit(await changeCommand({ ...command.optsWithGlobals<GlobalOptions>(), name, kind }, ctx));
      },
    );
  }
  withName(
    rollout
      .command('promote')
      .description('let the wave begin that waits for approval')
      .option('--skip-gates', 'instead waive soak, prepare threshold and minSample of the wave under way'),
  ).action(async (...[name, , command]: [string, unknown, Command]) => {
    const { changeCommand } = await import('./change-command.ts');
    const options = command.optsWithGlobals<GlobalOptions & { skipGates?: boolean }>();
    const kind = options.skipGates === true ? 'skipGates' : 'promote';
    exit(await changeCommand({ ...options, name, kind }, ctx));
  });
  withName(
    rollout
      .command('revert')
      .description('condemn the release and take every site back that took it; cannot be undone')
      .option('-y, --yes', 'do not ask'),
  ).action(async (...[name, , command]: [string, unknown, Command]) => {
    const { changeCommand } = await import('./change-command.ts');
    const options = command.optsWithGlobals<GlobalOptions & { yes?: boolean }>();
    exit(await changeCommand({ ...options, name, kind: 'revert' }, ctx));
  });
  rollout
    .command('lift')
    .description('allow a condemned release again: it may be rolled out anew')
    .argument('<release>')
    .option('--reason <text>', 'why, for those who read it later')
    .addOption(outputOption())
    .option('-n, --namespace <name>', "its namespace (default: the kubeconfig's)")
    .action(async (...[release, , command]: [string, unknown, Command]) => {
      const { liftCommand } = await import('./lift-command.ts');
      exit(
        await liftCommand(
          { ...command.optsWithGlobals<GlobalOptions & { reason?: string }>(), release },
          ctx,
        ),
      );
    });
  rollout
    .command('history')
    .description('the rollouts of an application, newest first')
    .argument('<application>')
    .addOption(outputOption())
    .option('-n, --namespace <name>', "its namespace (default: the kubeconfig's)")
    .action(async (...[application, , command]: [string, unknown, Command]) => {
      const { historyCommand } = await import('./history-command.ts');
      exit(await historyCommand({ ...command.optsWithGlobals<GlobalOptions>(), application }, ctx));
    });
}

function withName(command: Command): Command {
  return command
    .argument('<name>', 'an application, meaning its newest rollout, or a rollout')
    .addOption(outputOption())
    .option('-n, --namespace <name>', "its namespace (default: the kubeconfig's)");
}
