import { type Command, Option } from 'commander';
import type { ExitCode } from '../program/exit-code.ts';
import type { GlobalOptions } from '../program/shared-options.ts';
import type { CommandContext } from '../program/terminal.ts';

export function addRenderCommand(
  program: Command,
  ctx: CommandContext,
  exit: (code: ExitCode) => void,
): void {
  program
    .command('render')
    .description('what one site applies of an application: after overrides and variables, Secrets masked')
    .argument('<application>')
    .requiredOption('--site <name>', 'the site')
    .option('--release <name>', 'a release of the application (default: its newest)')
    .option('--trace', 'which override changed what, instead of the manifests')
    .option('-n, --namespace <name>', "namespace of the application (default: the kubeconfig's)")
    .addOption(
      new Option('-o, --output <format>', 'form of the answer').choices(['yaml', 'json']).default('yaml'),
    )
    .action(async (...[name, , command]: [string, unknown, Command]) => {
      const { renderCommand } = await import('./render-command.ts');
      const options = command.optsWithGlobals<RenderFlags>();
      exit(await renderCommand({ ...options, name }, ctx));
    });
}

type RenderFlags = Omit<GlobalOptions, 'output'> & {
  site: string;
  release?: string;
  trace?: true;
  output: 'yaml' | 'json';
};
