import './frugal-engine.ts';
import { readFileSync } from 'node:fs';
import { arch, hostname, tmpdir, userInfo } from 'node:os';
import { escapeControls, type LinkAccess, linkAccesses, printable } from '@selvedge/api';
import { createLogger, systemClock } from '@selvedge/api/node';
import { Command, InvalidArgumentError } from 'commander';
import { formatDepotList, formatVerifiedDepot } from './commands/depot-commands.ts';
import { formatStatus } from './commands/format-status.ts';
import { addDepotFlags, defaultDepotDir, type DepotFlags, depotOptions } from './commands/depot-flags.ts';
import {
  addKubernetesFlags,
  checkKubernetesFlags,
  type KubernetesFlags,
  stateDirOf,
} from './commands/kubernetes-flags.ts';
import { holdSite, type PersonAct, releaseSite, rollBackItem } from './commands/person-acts.ts';
import { addRackFlags, checkRuntime, type RackFlags, rackOptions } from './commands/rack-flags.ts';
import { readStatus } from './commands/read-status.ts';
import { run } from './commands/run.ts';
import { EnrolmentRefused } from './enrolment/enrolment-refused.ts';
import { readProxySettings } from './hub-connection/proxy-settings.ts';

/** Of the product; all packages carry one version. */
const version = '0.1.0';

interface RunFlags extends KubernetesFlags, DepotFlags, RackFlags {
  state?: string;
  token?: string;
  tokenFile?: string;
  podmanSocket?: string;
  podCidr: string;
  hostIp: string;
  insecureRegistry: string[];
  longestWait: number;
  hub: URL[];
  caFile: string[];
  link: LinkAccess;
  logLevel: string;
}

const program = new Command('selvedge-agent')
  .description('Runs the applications of one site, as its hub wants them; on by itself when the hub is away.')
  .version(version)
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 1));

addRackFlags(addDepotFlags(addKubernetesFlags(program.command('run'))))
  .description('Run the agent of this site. Ends at SIGTERM; containers go on running.')
  .option('--state <dir>', 'state directory: key, desired state, reports; one agent per directory')
  .option(
    '--token <token>',
    'enrolment token (other users of this machine can see it: rather use --token-file)',
  )
  .option('--token-file <file>', 'file with the enrolment token; or set SELVEDGE_TOKEN')
  .option('--podman-socket <path>', 'Podman API socket; without it the agent starts "podman system service"')
  .option('--pod-cidr <cidr>', "addresses of this site's pods", '10.117.0.0/16')
  .option('--host-ip <ip>', 'address on which ports are published', '0.0.0.0')
  .option('--insecure-registry <host:port>', 'registry without TLS (repeatable)', collect, [])
  .option(
    '--hub <url>',
    'address of the hub, the preferred one first (repeatable); kept, in place of those in the token',
    collectHub,
    [],
  )
  .option(
    '--ca-file <file>',
    'CAs (PEM) of proxies on the way to the hub, beside those that this machine trusts (repeatable)',
    collect,
    [],
  )
  .option(
    '--link <access>',
    'most that the hub may ask of this site over the service link: disabled, read or full; Site.spec.link may be stricter',
    linkAccess,
    'Full',
  )
  .option('--longest-wait <seconds>', 'longest silent wait for the hub', positiveNumber, 55)
  .option('--log-level <level>', 'debug, info, warn or error', 'info')
  .action(runCommand);

program
  .command('status')
  .description('Show what this site runs and how it stands with its hub. Works without the hub.')
  .requiredOption('--state <dir>', 'state directory of the agent')
  .option('-o, --output <format>', 'json')
  .action(statusCommand);

program
  .command('hold')
  .description(
    'Keep an application (or, without ITEM, the whole site) as it is: nothing is activated, nothing removed.',
  )
  .argument('[item]', 'application: NAME or NAMESPACE/NAME')
  .requiredOption('--state <dir>', 'state directory of the agent')
  .requiredOption('--reason <text>', 'why; the hub shows it')
  .action((item: string | undefined, flags: PersonFlags) => personCommand(holdSite, item, flags));

program
  .command('release')
  .description('End a hold that a person at the site has set.')
  .argument('[item]', 'application: NAME or NAMESPACE/NAME; without it the hold of the whole site')
  .requiredOption('--state <dir>', 'state directory of the agent')
  .option('--reason <text>', 'why; the hub shows it')
  .action((item: string | undefined, flags: PersonFlags) => personCommand(releaseSite, item, flags));

program
  .command('rollback')
  .description('Go back to the release of an application that proved itself here before.')
  .argument('<item>', 'application: NAME or NAMESPACE/NAME')
  .requiredOption('--state <dir>', 'state directory of the agent')
  .requiredOption('--reason <text>', 'why; the hub shows it')
  .action((item: string, flags: PersonFlags) => personCommand(rollBackItem, item, flags));

program
  .command('import')
  .description(
    'Take the desired state of this site, and all that it needs, from a file of "selvedge site export".',
  )
  .argument('<file>', 'the file; - for what comes in')
  .requiredOption('--state <dir>', 'state directory of the agent')
  .option('--depot <dir>', 'folder of the depot, when the agent runs with another one than STATE/depot')
  .action(importCommand);

const depotCommand = program
  .command('depot')
  .description('Look at the images that this site keeps. Works beside a running agent.');

depotCommand
  .command('list')
  .description(
    'List the images of the depot; with -o json also every blob, for "selvedge site export --have".',
  )
  .option('--state <dir>', 'state directory of the agent; its depot is below')
  .option('--depot <dir>', 'folder of the depot, when it is elsewhere')
  .option('-o, --output <format>', 'json')
  .action(listDepotCommand);

depotCommand
  .command('verify')
  .description(
    'Read every blob of the depot and remove those that are damaged, so that they are fetched again.',
  )
  .option('--state <dir>', 'state directory of the agent; its depot is below')
  .option('--depot <dir>', 'folder of the depot, when it is elsewhere')
  .option('-o, --output <format>', 'json')
  .action(verifyDepotCommand);

// No top-level await: the released program is one CommonJS file, which takes 4 MB less memory than an ES module.
void program.parseAsync();

async function runCommand(flags: RunFlags): Promise<void> {
  const logger = createLogger({ level: flags.logLevel });
  const stop = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stop.abort());
  const token = flags.token ?? (flags.tokenFile === undefined ? process.env['SELVEDGE_TOKEN'] : undefined);
  try {
    const stateDir = stateDirOf(flags);
    const kubernetes = checkKubernetesFlags(flags);
    await run(
      {
        stateDir,
        kubernetes,
        runtime: checkRuntime(flags, kubernetes !== undefined),
        rack: rackOptions(flags),
        depot: depotOptions(flags, { stateDir, isKubernetes: kubernetes !== undefined }),
        ...(token ? { token } : {}),
        ...(flags.tokenFile === undefined ? {} : { tokenFile: flags.tokenFile }),
        ...(flags.podmanSocket === undefined ? {} : { podmanSocket: flags.podmanSocket }),
        podCidr: flags.podCidr,
        hostIp: flags.hostIp,
        insecureRegistries: flags.insecureRegistry,
        longestWaitSeconds: flags.longestWait,
        machine: { version, hostname: hostname(), os: operatingSystem(), architecture: arch() },
        proxies: readProxySettings(process.env),
        caFiles: flags.caFile,
        hubs: flags.hub,
        link: flags.link,
        environment: withoutToken(process.env),
        runtimeDir: process.env['XDG_RUNTIME_DIR'] ?? tmpdir(),
        clock: systemClock,
        logger,
      },
      stop.signal,
    );
    process.exit(0);
  } catch (error) {
    logger.error('agent ends', { error: (error as Error).message, cause: (error as Error).cause });
    process.exit(error instanceof EnrolmentRefused ? 2 : 1);
  }
}

async function statusCommand(flags: { state: string; output?: string }): Promise<void> {
  try {
    const now = systemClock.now();
    const status = await readStatus(flags.state, now);
    const text = flags.output === 'json' ? `${JSON.stringify(status, null, 2)}\n` : formatStatus(status, now);
    process.stdout.write(escapeControls(text));
  } catch (error) {
    process.stderr.write(`selvedge-agent: ${printable((error as Error).message)}\n`);
    process.exitCode = 1;
  }
}

interface DepotCommandFlags {
  state?: string;
  depot?: string;
  output?: string;
}

async function listDepotCommand(flags: DepotCommandFlags): Promise<void> {
  await printDepot(flags, async (directory) => {
    const { listDepot } = await import('./depot/list-depot.ts');
    const list = await listDepot(directory);
    return { document: list, text: formatDepotList(list) };
  });
}

async function verifyDepotCommand(flags: DepotCommandFlags): Promise<void> {
  await printDepot(flags, async (directory) => {
    const { verifyDepot } = await import('./depot/list-depot.ts');
    const verified = await verifyDepot(directory, new AbortController().signal);
    if (verified.removed.length > 0) process.exitCode = 1;
    return { document: verified, text: formatVerifiedDepot(verified) };
  });
}

async function printDepot(
  { state, depot, output }: DepotCommandFlags,
  read: (directory: string) => Promise<{ document: unknown; text: string }>,
): Promise<void> {
  try {
    const directory = depot ?? (state === undefined ? undefined : defaultDepotDir(state));
    if (directory === undefined) throw new Error('name the folder: --state DIR or --depot DIR');
    const { document, text } = await read(directory);
    process.stdout.write(escapeControls(output === 'json' ? `${JSON.stringify(document, null, 2)}\n` : text));
  } catch (error) {
    process.stderr.write(`selvedge-agent: ${printable((error as Error).message)}\n`);
    process.exitCode = 1;
  }
}

interface PersonFlags {
  state: string;
  reason?: string;
}

async function personCommand(
  act: (act: PersonAct) => Promise<string>,
  item: string | undefined,
  flags: PersonFlags,
): Promise<void> {
  try {
    const text = await act({
      stateDir: flags.state,
      ...(item === undefined ? {} : { item }),
      ...(flags.reason === undefined ? {} : { reason: flags.reason }),
      by: process.env['SUDO_USER'] || userName(),
      clock: systemClock,
    });
    process.stdout.write(escapeControls(text));
  } catch (error) {
    process.stderr.write(`selvedge-agent: ${printable((error as Error).message)}\n`);
    process.exitCode = 1;
  }
}

async function importCommand(file: string, flags: { state: string; depot?: string }): Promise<void> {
  const stop = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stop.abort());
  try {
    const { importSite, openDepotForImport } = await import('./commands/import-site.ts');
    const images = await openDepotForImport({
      stateDir: flags.state,
      depot: flags.depot,
      clock: systemClock,
      logger: createLogger({ level: 'warn' }),
    });
    const text = await importSite({
      file,
      ...(images === undefined ? {} : { images }),
      stateDir: flags.state,
      input: process.stdin,
      by: process.env['SUDO_USER'] || userName(),
      clock: systemClock,
      tell: (line) => process.stderr.write(escapeControls(`${printable(line)}\n`)),
      signal: stop.signal,
    });
    process.stdout.write(escapeControls(text));
  } catch (error) {
    process.stderr.write(`selvedge-agent: ${printable((error as Error).message)}\n`);
    process.exitCode = 1;
  }
}

/** A user of a container may have no name. */
function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return `uid ${process.getuid?.() ?? 'unknown'}`;
  }
}

/** Podman and the containers have no business with the token. */
function withoutToken(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const { SELVEDGE_TOKEN: _token, ...rest } = environment;
  return rest;
}

function operatingSystem(): string {
  try {
    return /^PRETTY_NAME="?([^"\n]+)/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? process.platform;
  } catch {
    return process.platform;
  }
}

function collect(value: string, previous: string[]): string[] {
  return [...previous, value];
}

function collectHub(value: string, previous: URL[]): URL[] {
  const hub = URL.parse(value);
  const isHub = hub?.protocol === 'https:' && hub.username === '' && hub.search === '' && hub.hash === '';
  if (hub === null || !isHub) throw new InvalidArgumentError('write https://HOST[:PORT]');
  return [...previous, hub];
}

function linkAccess(value: string): LinkAccess {
  const access = linkAccesses.find((one) => one.toLowerCase() === value.toLowerCase());
  if (access === undefined) throw new InvalidArgumentError('disabled, read or full');
  return access;
}

function positiveNumber(value: string): number {
  const number = Number(value);
  if (!(number > 0)) throw new InvalidArgumentError('a number of seconds above 0');
  return number;
}
