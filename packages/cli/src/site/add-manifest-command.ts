import { defaultAgentInstall, type InstallWish, rbacLevels } from '@selvedge/api';
import { type Command, Option } from 'commander';
import type { ExitCode } from '../program/exit-code.ts';
import { collect, collectLabels, type GlobalOptions } from '../program/shared-options.ts';
import type { CommandContext } from '../program/terminal.ts';

interface Flags extends GlobalOptions {
  readonly image?: string;
  readonly agentNamespace?: string;
  readonly rbac?: string;
  readonly allow?: string[];
  readonly withLink?: boolean;
  readonly linkUser?: string[];
  readonly linkGroup?: string[];
  readonly mirrorNamespace?: string[];
  readonly proxy?: string;
  readonly priorityClass?: string;
  readonly ttl?: string;
  readonly label?: Record<string, string>;
  readonly hubUrl?: string[];
  readonly url?: boolean;
}

export function addManifestCommand(site: Command, ctx: CommandContext, exit: (code: ExitCode) => void): void {
  const { namespace, image, rbac } = defaultAgentInstall;
  site
    .command('manifest')
    .description('print what makes a Kubernetes cluster this site: pipe it into kubectl apply -f -')
    .argument('<name>', 'name of the site')
    .option('--url', 'print an address for kubectl apply -f instead, good for 15 minutes')
    .option('--image <image>', `container image of the agent (default ${image})`)
    .option('--agent-namespace <name>', `namespace of the agent (default ${namespace})`)
    .addOption(
      new Option('--rbac <level>', `what the agent may do in the cluster (default ${rbac})`).choices(
        rbacLevels,
      ),
    )
    .option(
      '--allow <resource>',
      'further resource to manage, as in certificates.cert-manager.io; may be repeated',
      collect,
    )
    .option(
      '--with-link',
      'let people at the hub reach the cluster: the agent may act as anybody there, which is as much as cluster-admin',
    )
    .option(
      '--link-user <name>',
      'let this user of the hub reach it, instead of everybody; may be repeated',
      collect,
    )
    .option(
      '--link-group <name>',
      'a group of these users: each of their groups has to be named; may be repeated',
      collect,
    )
    .option(
      '--mirror-namespace <name>',
      'let only this namespace of the cluster be mirrored to other sites (default: every one but its own); may be repeated',
      collect,
    )
    .option('--proxy <url>', 'HTTP proxy on the way from the cluster to the hub')
    .option('--priority-class <name>', "PriorityClass of the agent's pod")
    .option('--ttl <duration>', 'how long the enrolment token is valid (default 24h)')
    .option('--label <key=value>', 'label for the site when it is made; may be repeated', collectLabels)
    .option('--hub-url <url>', 'hub address to put into it instead; may be repeated', collect)
    .action(async (name: string, _options, command: Command) => {
      const { manifestCommand } = await import('./manifest-command.ts');
      const flags = command.optsWithGlobals<Flags>();
      const { url, ttl, label, hubUrl } = flags;
      const options = {
        ...flags,
        site: name,
        install: wishOf(flags),
        ...(url === undefined ? {} : { url }),
        ...(ttl === undefined ? {} : { ttl }),
        ...(label === undefined ? {} : { labels: label }),
        ...(hubUrl === undefined ? {} : { hubUrls: hubUrl }),
        output: 'table' as const,
      };
      exit(await manifestCommand(options, ctx));
    });
}

function wishOf(flags: Flags): InstallWish {
  const {
    agentNamespace,
    image,
    rbac,
    allow,
    withLink,
    linkUser,
    linkGroup,
    proxy,
    priorityClass,
    mirrorNamespace,
  } = flags;
  const wish = {
    namespace: agentNamespace,
    image,
    rbac,
    allow,
    link: withLink,
    linkUsers: linkUser,
    linkGroups: linkGroup,
    mirrorNamespaces: mirrorNamespace,
    proxy,
    priorityClassName: priorityClass,
  };
  return Object.fromEntries(Object.entries(wish).filter(([, value]) => value !== undefined));
}
