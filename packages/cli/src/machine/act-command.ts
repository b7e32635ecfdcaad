import {
  isConflict,
  type Machine,
  machineFaults,
  type MachineClaim,
  machineClaims,
  type MachineImage,
  machineImages,
  machines,
  printable,
  siteAwayMessage,
} from '@selvedge/api';
import type { HttpClient } from '@selvedge/kube';
import { confirm } from '../program/confirm.ts';
import { type ConnectOptions, connect } from '../program/connect.ts';
import { CommandError, type ExitCode, exitCode, UsageError } from '../program/exit-code.ts';
import { type CommandContext, formatDocument, type OutputFormat } from '../program/terminal.ts';
import { nearNames } from '../why/near-names.ts';
import { followMachine, lastMoment } from './follow-machine.ts';
import { getMachine } from './get-machine.ts';
import { listMachines } from './list-command.ts';
import { type MachineChange, type MachineWish, planChange } from './machine-change.ts';

export interface ActOptions extends ConnectOptions {
  readonly names: readonly string[];
  /** With `accept`: all that are not accepted, of this site if one is given. */
  readonly all?: boolean;
  readonly site?: string;
  readonly wait?: boolean;
  readonly timeout?: string;
  readonly yes?: boolean;
  readonly output: OutputFormat;
}

/** Writes what a person wants of machines into their spec; the racks do the rest. With `wait` it tells what happens until they have. */
export async function actCommand(
  wish: MachineWish,
  options: ActOptions,
  ctx: CommandContext,
): Promise<ExitCode> {
  await using hub = await connect(options, ctx.process);
  const targets = await findTargets(hub.client, options);
  // All are judged before the first is changed.
  for (const machine of targets) planFor(wish, machine, ctx);
  if (wish.verb === 'provision') await mustBeThere(hub.client, wish.provision.image);
  if (wish.verb === 'release' && options.yes !== true) await confirmRelease(targets, ctx);
  const exits: ExitCode[] = [];
  for (const machine of targets) exits.push(await act(hub.client, { wish, machine, options }, ctx));
  return exits.find((exit) => exit !== exitCode.ok) ?? exitCode.ok;
}

async function findTargets(client: HttpClient, { names, all, site }: ActOptions): Promise<Machine[]> {
  if (all === true) {
    if (names.length > 0) throw new UsageError('give names, or --all, not both');
    const choice = site === undefined ? {} : { fieldSelector: `spec.siteName=${site}` };
    const found = (await listMachines(client, choice)).filter(({ spec }) => spec.accepted === false);
    if (found.length === 0)
      throw new CommandError('no machine waits to be accepted', 'selvedge machine list shows all.');
    return found;
  }
  if (names.length === 0) throw new UsageError('give the name of a machine');
  const found: Machine[] = [];
  for (const name of names) found.push(await getMachine(client, name));
  return found;
}

function planFor(wish: MachineWish, machine: Machine, ctx: CommandContext): MachineChange {
  return planChange(wish, machine, ctx.process.clock.now());
}

async function confirmRelease(targets: readonly Machine[], ctx: CommandContext): Promise<void> {
  const used = targets.filter(({ spec, status }) => spec.consumer || spec.provision || status?.provisioned);
  if (used.length === 0) return;
  const listed = used.map(({ metadata, spec, status }) => {
    const image = status?.provisioned?.image ?? spec.provision?.image ?? 'nothing of ours';
    const taken = spec.consumer ? `, taken by ${spec.consumer.kind} ${spec.consumer.name}` : '';
    return `${metadata.name} (${image}${taken})`;
  });
  await confirm(ctx.process, {
    question: `${listed.join(', ')}: it is switched off and given back. Release? [y/N] `,
    otherwise: 'releasing asks for confirmation; pass --yes where nobody can answer',
    declined: 'nothing was released',
  });
}

/** The rack would wait for an image that comes later; a person who mistypes one would too. */
async function mustBeThere(client: HttpClient, image: string): Promise<void> {
  const isName = /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(image);
  if (isName && (await client.find<MachineImage>(machineImages, { name: image })) !== undefined) return;
  const { items } = await client.list<MachineImage>(machineImages);
  const near = nearNames(
    image,
    items.map(({ metadata }) => metadata.name),
  );
  throw new CommandError(
    `there is no machine image ${image}`,
    near.length > 0
      ? `Did you mean ${near.join(' or ')}?`
      : `selvedge machine-image push ${image} FILE makes one.`,
  );
}

/** Why nothing happens yet: nobody is there who hears of it. */
function absenceOf(machine: Machine): string | undefined {
  const missing = machineFaults(machine).find(({ type }) => type === 'Synced')?.message;
  if (siteAwayMessage(machine) !== undefined) {
    return `Site ${machine.spec.siteName} is silent: its rack takes this up once it is back.`;
  }
  return missing && printable(`Nothing happens yet: ${missing}`);
}

interface Act {
  readonly wish: MachineWish;
  readonly machine: Machine;
  readonly options: ActOptions;
}

async function act(
  client: HttpClient,
  { wish, machine, options }: Act,
  ctx: CommandContext,
): Promise<ExitCode> {
  const claim = machine.spec.consumer;
  const uid = claim?.uid;
  if (wish.verb === 'release' && claim?.kind === 'MachineClaim' && (await hasClaim(client, claim))) {
    await releaseClaim(client, { name: claim.name, uid, machine: machine.metadata.name, wish });
    ctx.print(`${machine.metadata.name}: claim ${claim.name} is deleted, which releases it.`);
    return await finish(client, { options, machine, change: planFor(wish, machine, ctx) }, ctx);
  }
  const change = await carryOut(client, machine, { wish, ctx });
  if (options.output === 'table') {
    ctx.print(change.done);
    if (change.next !== undefined) ctx.hint(change.next);
    const absence = absenceOf(machine);
    if (absence !== undefined) ctx.hint(absence);
  } else if (options.wait !== true) {
    const { name } = machine.metadata;
    ctx.print(
      await formatDocument(options.output, {
        machine: name,
        isChanged: change.patch !== undefined,
        done: change.done,
      }),
    );
  }
  return await finish(client, { options, machine, change }, ctx);
}

async function finish(
  client: HttpClient,
  { options, machine, change }: { options: ActOptions; machine: Machine; change: MachineChange },
  ctx: CommandContext,
): Promise<ExitCode> {
  const { name } = machine.metadata;
  if (options.wait !== true) {
    if (options.output === 'table') ctx.hint(`selvedge machine show ${name} -w shows how it goes.`);
    return exitCode.ok;
  }
  const tell = options.output === 'table' ? ctx.print : ctx.hint;
  const { isThere } = change;
  const { timeout } = options;
  const exit = await followMachine(
    client,
    { name, afterMoment: lastMoment(machine), timeout, isThere, tell },
    ctx,
  );
  if (options.output !== 'table')
    ctx.print(await formatDocument(options.output, await getMachine(client, name)));
  return exit;
}

/** A claim of the same name that was made since has another machine. One that is gone releases nothing: then the machine itself is let go. */
async function hasClaim(
  client: HttpClient,
  { name, uid }: { readonly name: string; readonly uid?: string | undefined },
): Promise<boolean> {
  const claim = await client.find<MachineClaim>(machineClaims, { name });
  return claim !== undefined && (uid === undefined || claim.metadata.uid === uid);
}

/** The claim says what is to become of the machine: its controller does it once the claim is deleted. */
async function releaseClaim(
  client: HttpClient,
  {
    name,
    uid,
    machine,
    wish,
  }: {
    name: string;
    uid: string | undefined;
    machine: string;
    wish: Extract<MachineWish, { verb: 'release' }>;
  },
): Promise<void> {
  const erase = ({ none: 'None', quick: 'Quick', secure: 'Secure' } as const)[wish.erase];
  const release = { erase, wipeConsent: wish.erase === 'none' ? null : machine };
  const settings = { fieldManager: 'selvedge-cli' };
  const is = uid === undefined ? {} : { uid };
  await client.mergePatch<MachineClaim>(
    machineClaims,
    { name },
    { metadata: is, spec: { release } },
    settings,
  );
  await client.delete(machineClaims, { name }, { preconditions: is });
}

const maxAttempts = 5;

/** Bound to the state that it was thought out for; when another write comes between, it is thought out again. */
async function carryOut(
  client: HttpClient,
  machine: Machine,
  { wish, ctx }: { wish: MachineWish; ctx: CommandContext },
): Promise<MachineChange> {
  const { name } = machine.metadata;
  let present = machine;
  for (let attempt = 1; ; attempt++) {
    const change = planFor(wish, present, ctx);
    if (change.patch === undefined) return change;
    const { metadata = {}, spec } = change.patch;
    const { resourceVersion } = present.metadata;
    const patch = { metadata: { ...(metadata as object), resourceVersion }, spec };
    try {
      await client.mergePatch<Machine>(machines, { name }, patch, { fieldManager: 'selvedge-cli' });
      return change;
    } catch (error) {
      if (!isConflict(error) || attempt === maxAttempts) throw error;
    }
    present = await client.get<Machine>(machines, { name });
  }
}
