import { type Command, InvalidArgumentError, Option } from 'commander';
import { type ExitCode, UsageError } from '../program/exit-code.ts';
import { collect, collectLabels, type GlobalOptions, outputOption } from '../program/shared-options.ts';
import type { CommandContext } from '../program/terminal.ts';
import { addBmcFlags, addInstallFlags, addWaitFlags } from './add-machine-installs.ts';
import { type EraseChoice, eraseChoices, type MachineWish } from './machine-change.ts';
import type { BmcFlags, InstallFlags } from './machine-flags.ts';

type Exit = (code: ExitCode) => void;
type ActFlags = GlobalOptions & {
  wait?: boolean;
  timeout?: string;
  yes?: boolean;
  all?: boolean;
  site?: string;
};

/** Verbs that write what is wanted into a machine's spec. */
export function addMachineActs(machine: Command, ctx: CommandContext, exit: Exit): void {
  const parts = { machine, ctx, exit };
  addAccept(parts);
  addInspect(parts);
  addProvision(parts);
  addRelease(parts);
  addPower(parts);
  addRescue(parts);
  addMarks(parts);
}

interface Parts {
  readonly machine: Command;
  readonly ctx: CommandContext;
  readonly exit: Exit;
}

async function run(
  { ctx, exit }: Parts,
  wish: MachineWish,
  act: ActFlags & { names: readonly string[] },
): Promise<void> {
  const { actCommand } = await import('./act-command.ts');
  exit(await actCommand(wish, act, ctx));
}

/** A verb on one machine. */
function verb(parts: Parts, name: string, description: string): Command {
  return parts.machine.command(name).description(description).argument('<name>').addOption(outputOption());
}

function addAccept(parts: Parts): void {
  const accept = parts.machine
    .command('accept')
    .description('take machines in that were found: they are inspected, and then Available')
    .argument('[name...]')
    .option('--all', 'all that were found and not accepted')
    .option('--site <name>', 'with --all: only those at this site')
    .option('--display-name <text>', 'name for people')
    .option('--label <key=value>', 'label; may be repeated', collectLabels);
  addWaitFlags(addBmcFlags(accept))
    .addOption(outputOption())
    .action(async (...[names, , self]: [string[], unknown, Command]) => {
      const { readBmc } = await import('./machine-flags.ts');
      const flags = self.optsWithGlobals<
        ActFlags & BmcFlags & { displayName?: string; label?: Record<string, string> }
      >();
      const bmc = readBmc(flags);
      const isOfOne = flags.displayName !== undefined || flags.bmcAddress !== undefined;
      if (isOfOne && names.length !== 1) {
        throw new UsageError('a display name and the address of a BMC are of one machine: give one name');
      }
      const wish: MachineWish = {
        verb: 'accept',
        ...(flags.displayName === undefined ? {} : { displayName: flags.displayName }),
        ...(flags.label === undefined ? {} : { labels: flags.label }),
        ...(bmc === undefined ? {} : { bmc }),
      };
      await run(parts, wish, { ...flags, names });
    });
}

const tests = ['memory', 'disk', 'network'] as const;

function collectTests(
  text: string,
  previous: (typeof tests)[number][] | undefined,
): (typeof tests)[number][] {
  const found = tests.find((test) => test === text);
  if (!found) throw new InvalidArgumentError(`It has to be one of ${tests.join(', ')}.`);
  return [...(previous ?? []), found];
}

function addInspect(parts: Parts): void {
  const inspect = verb(parts, 'inspect', 'take its inventory again, and run scripts and tests').option(
    '--test <name>',
    'memory, disk or network; may be repeated; kept for later inspections',
    collectTests,
  );
  addWaitFlags(inspect).action(async (...[name, , self]: [string, unknown, Command]) => {
    const flags = self.optsWithGlobals<ActFlags & { test?: (typeof tests)[number][] }>();
    const wish: MachineWish = { verb: 'inspect', ...(flags.test === undefined ? {} : { tests: flags.test }) };
    await run(parts, wish, { ...flags, names: [name] });
  });
}

const wipeHelp = 'what is on its disks may be lost: the name of this machine';

function addProvision(parts: Parts): void {
  const provision = verb(parts, 'provision', 'put an image on it; on one that has another, that is replaced')
    .requiredOption('--image <name>', 'MachineImage')
    .option('--again', 'also when it has this image already')
    .option('--wipe <name>', wipeHelp);
  addWaitFlags(addInstallFlags(provision)).action(async (...[name, , self]: [string, unknown, Command]) => {
    const { readInstall } = await import('./machine-flags.ts');
    const flags = self.optsWithGlobals<ActFlags & InstallFlags & { again?: boolean; wipe?: string }>();
    const wish: MachineWish = {
      verb: 'provision',
      provision: await readInstall(flags),
      again: flags.again === true,
      ...(flags.wipe === undefined ? {} : { wipe: flags.wipe }),
    };
    await run(parts, wish, { ...flags, names: [name] });
  });
}

function addRelease(parts: Parts): void {
  const release = verb(parts, 'release', 'give it back: its image and its claim are taken away')
    .addOption(
      new Option('--erase <how>', 'quick: partition tables and signatures; secure: everything')
        .choices([...eraseChoices])
        .default('none'),
    )
    .option('--wipe <name>', wipeHelp)
    .option('-y, --yes', 'do not ask');
  addWaitFlags(release).action(async (...[name, , self]: [string, unknown, Command]) => {
    const flags = self.optsWithGlobals<ActFlags & { erase: EraseChoice; wipe?: string }>();
    const wipe = flags.wipe === undefined ? {} : { wipe: flags.wipe };
    await run(parts, { verb: 'release', erase: flags.erase, ...wipe }, { ...flags, names: [name] });
  });
}

function addPower(parts: Parts): void {
  const states = ['on', 'off', 'auto'] as const;
  const power = parts.machine
    .command('power')
    .description('switch it on or off and keep it so; auto: as its phase needs it')
    .argument('<name>')
    .argument('<on|off|auto>')
    .addOption(outputOption());
  addWaitFlags(power).action(async (...[name, state, , self]: [string, string, unknown, Command]) => {
    const wanted = states.find((one) => one === state);
    if (!wanted) throw new UsageError(`power ${state}: has to be one of ${states.join(', ')}`);
    await run(
      parts,
      { verb: 'power', power: wanted },
      { ...self.optsWithGlobals<ActFlags>(), names: [name] },
    );
  });
  simple(parts, { verb: 'reboot' }, 'restart it once');
  simple(parts, { verb: 'retry' }, 'try again what failed');
}

/** A verb that needs no more than the name. */
function simple(parts: Parts, wish: MachineWish, description: string): void {
  addWaitFlags(verb(parts, wish.verb, description)).action(
    async (...[name, , self]: [string, unknown, Command]) => {
      await run(parts, wish, { ...self.optsWithGlobals<ActFlags>(), names: [name] });
    },
  );
}

function addRescue(parts: Parts): void {
  const rescue = verb(parts, 'rescue', 'boot the rescue system; nothing on its disks is touched')
    .option('--key <file>', 'SSH public key that opens it; may be repeated', collect)
    .option('--exit', 'leave it again');
  addWaitFlags(rescue).action(async (...[name, , self]: [string, unknown, Command]) => {
    const flags = self.optsWithGlobals<ActFlags & { key?: string[]; exit?: boolean }>();
    if (flags.exit === true) {
      await run(parts, { verb: 'end-rescue' }, { ...flags, names: [name] });
      return;
    }
    const { readText } = await import('./machine-flags.ts');
    const texts = await Promise.all((flags.key ?? []).map((file) => readText('--key', file)));
    const keys = texts.flatMap((text) => text.split('\n').map((line) => line.trim())).filter(isKeyLine);
    await run(parts, { verb: 'rescue', keys }, { ...flags, names: [name] });
  });
}

/** Throws UsageError for what is a private key. */
function isKeyLine(line: string): boolean {
  if (line.includes('PRIVATE KEY'))
    throw new UsageError('--key wants the public key: the file that ends in .pub');
  return line !== '' && !line.startsWith('#');
}

function addMarks(parts: Parts): void {
  verb(parts, 'mark-broken', 'take it out of use: neither claimed nor switched')
    .requiredOption('--reason <text>', 'why, for those who wonder later')
    .action(async (...[name, , self]: [string, unknown, Command]) => {
      const flags = self.optsWithGlobals<ActFlags & { reason: string }>();
      await run(parts, { verb: 'mark-broken', reason: flags.reason }, { ...flags, names: [name] });
    });
  verb(parts, 'mark-fixed', 'take it back into use').action(
    async (...[name, , self]: [string, unknown, Command]) => {
      await run(parts, { verb: 'mark-fixed' }, { ...self.optsWithGlobals<ActFlags>(), names: [name] });
    },
  );
  verb(parts, 'protect', 'nothing on it is written, erased or switched off, whatever else is wanted')
    .option('--off', 'end the protection')
    .action(async (...[name, , self]: [string, unknown, Command]) => {
      const flags = self.optsWithGlobals<ActFlags & { off?: boolean }>();
      await run(parts, { verb: flags.off === true ? 'unprotect' : 'protect' }, { ...flags, names: [name] });
    });
}
