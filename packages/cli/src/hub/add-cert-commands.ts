import { Argument, type Command, Option } from 'commander';
import type { ExitCode } from '../program/exit-code.ts';
import type { CommandContext } from '../program/terminal.ts';
import type { CertIssueOptions, CertOptions, CertRenewOptions } from './cert-command.ts';

const output = () =>
  new Option('-o, --output <format>', 'form of the answer')
    .choices(['table', 'json', 'yaml'])
    .default('table');

/** `selvedge hub cert …`. Each action loads its command only when it runs. */
export function addCertCommands(hub: Command, ctx: CommandContext, exit: (code: ExitCode) => void): void {
  const cert = hub
    .command('cert')
    .description('certificates and keys in the data folder, whether the hub runs or not');
  const data = () => new Option('--data <dir>', 'data folder of the hub');
  cert
    .command('show')
    .description('each certificate: whose, by whom, how long; exits 1 when one is of no use')
    .addOption(data())
    .addOption(output())
    .action(async (_options, command: Command) => {
      const { certShowCommand } = await import('./cert-command.ts');
      exit(await certShowCommand(command.optsWithGlobals<CertOptions>(), ctx));
    });
  cert
    .command('renew')
    .description('renew them now; a running hub takes them without a restart')
    .addArgument(
      new Argument('[names...]', 'which ones (default server and admin)').choices([
        'server',
        'admin',
        'ca',
        'service-account',
      ]),
    )
    .addOption(data())
    .addOption(output())
    .action(async (names: CertRenewOptions['names'], _options: unknown, command: Command) => {
      const { certRenewCommand } = await import('./cert-command.ts');
      const chosen = names.length > 0 ? names : (['server', 'admin'] as const);
      exit(await certRenewCommand({ ...command.optsWithGlobals<CertOptions>(), names: chosen }, ctx));
    });
  cert
    .command('issue')
    .description('write a kubeconfig with a client certificate for somebody')
    .requiredOption('--user <name>', 'name of the user')
    .option(
      '--group <name>',
      'group of the user; may be repeated',
      (value: string, previous: string[] | undefined) => [...(previous ?? []), value],
    )
    .requiredOption('--out <file>', 'kubeconfig to write; must not be there yet')
    .option('--ttl <duration>', 'how long it is good', '90d')
    .option('--server <url>', 'address of the hub for that user (default: that of admin.kubeconfig)')
    .addOption(data())
    .addOption(output())
    .action(async (_options, command: Command) => {
      const { certIssueCommand } = await import('./cert-command.ts');
      exit(await certIssueCommand(command.optsWithGlobals<CertIssueOptions>(), ctx));
    });
}
