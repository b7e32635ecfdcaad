import {
  isWishUnderWay,
  type Machine,
  machineFaults,
  type MachineInventory,
  machineNote,
  printable,
  siteAwayMessage,
} from '@selvedge/api';
import type { Paint } from '../program/terminal.ts';
import { formatAge, formatAgo, secondsSince } from '../render/age.ts';
import { formatBytes } from '../render/bytes.ts';
import { type Cell, renderTable } from '../render/table.ts';
import { lifeLine, phaseTone, progressText, sinceText, summarise } from './machine-summary.ts';
import { momentLine } from './render-timeline.ts';

type Fact = readonly [string, string | undefined];
const shownMoments = 8;

/** One machine for people: where it is, what is waited for, what to do; then what it is. */
export function renderMachine(machine: Machine, now: Date, paint: Paint): string {
  return [
    headOf(machine, paint),
    lifeOf(machine, now, paint),
    troubleOf(machine, now, paint),
    facts(nowFacts(machine, now), paint),
    todoOf(machine, paint),
    facts(machineFacts(machine, now), paint),
    ...hardwareTables(machine.status?.inventory, paint),
    resultsTable(machine, now, paint),
    timelineOf(machine, now, paint),
  ]
    .filter((part) => part !== '')
    .join('\n\n');
}

function headOf({ metadata, spec, status }: Machine, paint: Paint): string {
  const { seen } = status ?? {};
  const product = [seen?.manufacturer, seen?.product].filter(Boolean).join(' ');
  const known = [spec.displayName, product, seen?.serials?.[0] ?? spec.identity.serials?.[0]].filter(Boolean);
  const what = known.length === 0 ? '' : ` (${known.join(', ')})`;
  return `${paint('strong', metadata.name)} at site ${spec.siteName}${printable(what)}`;
}

/** `New ─ Inspecting ─ ▶ Available   for 3m`. */
function lifeOf(machine: Machine, now: Date, paint: Paint): string {
  const { status } = machine;
  const summary = summarise(machine);
  const line = lifeLine(machine).map(({ phase, isHere }) =>
    isHere ? paint(phaseTone(summary), `▶ ${phase}`) : paint('faint', phase),
  );
  const how = summary.status === 'OK' || summary.status === 'Unknown' ? '' : `, ${summary.status}`;
  const since = sinceText(status?.phaseSince, now);
  return `${line.join(paint('faint', ' ─ '))}   ${since}${how}`.trimEnd();
}

function troubleOf(machine: Machine, now: Date, paint: Paint): string {
  const { error } = machine.status ?? {};
  const lines = machineFaults(machine).map(({ message }) => `${paint('bad', '✗')} ${printable(message)}`);
  if (error) {
    const often = error.count > 1 ? `, ${error.count} times in a row` : '';
    const when = paint('faint', `(since ${formatAgo(error.since, now)}${often})`);
    lines.unshift(`${paint('bad', `✗ ${error.reason}:`)} ${printable(error.message)} ${when}`);
  }
  const away = siteAwayMessage(machine);
  if (away !== undefined) lines.push(`${paint('caution', '!')} ${printable(away)}`);
  return lines.join('\n');
}

/** What goes on: what the rack is doing, what it expects, what it saw last, what comes next. */
function nowFacts(machine: Machine, now: Date): Fact[] {
  const { status } = machine;
  if (status?.phase === undefined) {
    return [['Now', `the rack of site ${machine.spec.siteName} has not said anything of it yet`]];
  }
  const { waiting, progress } = status;
  const until = waiting?.until === undefined ? '' : `, given up in ${untilText(waiting.until, now)}`;
  const expected =
    waiting && printable(`${waiting.expected} (for ${formatAge(secondsSince(waiting.since, now))}${until})`);
  const seen = waiting?.lastSeen;
  return [
    ['Now', progress ? progressText(progress) : (waiting?.step ?? restingText(machine, now))],
    ['Expected', expected],
    ['Last seen', seen && printable(`${seen.what}, ${formatAgo(seen.time, now)}`)],
    [waiting?.until === undefined ? 'Next' : 'Otherwise', waiting && printable(waiting.next)],
    [
      'On its way',
      isWishUnderWay(machine) ? 'the rack has not taken up yet what was wanted last' : undefined,
    ],
    ['Reported', formatAgo(status.observedTime, now)],
  ];
}

/** Where nothing goes on and nothing is waited for. */
function restingText(machine: Machine, now: Date): string | undefined {
  const { spec, status } = machine;
  if (status?.error || status?.waiting || machineFaults(machine).length > 0) return undefined;
  if (spec.accepted === false) return 'found by the rack; nothing is done to it until it is accepted';
  if (status?.phase === 'Available') return 'ready to be used';
  if (status?.phase === 'Rescue') return 'runs the rescue system; its disks are not touched';
  if (spec.externallyProvisioned) return 'runs what was there before; nothing on it is touched';
  const { confirmedTime } = status?.provisioned ?? {};
  const runs = status?.phase === 'Provisioned' && confirmedTime !== undefined;
  return machineNote(machine) || (runs ? `runs since ${formatAgo(confirmedTime, now)}` : undefined);
}

function untilText(until: string, now: Date): string {
  const seconds = -secondsSince(until, now);
  return seconds > 0 ? formatAge(seconds) : 'no time';
}

function todoOf(machine: Machine, paint: Paint): string {
  const { todo } = summarise(machine);
  if (todo.length === 0) return '';
  const lines = todo.map(({ why, command }) => {
    const text = command === undefined ? '' : `: ${paint('strong', command)}`;
    return `  ${printable(why)}${text}`;
  });
  return [paint('strong', 'What to do'), ...lines].join('\n');
}

function machineFacts({ metadata, spec, status }: Machine, now: Date): Fact[] {
  const { seen, power, provisioned } = status ?? {};
  const { uuid = seen?.uuid, macAddresses = seen?.macAddresses } = spec.identity;
  const wishes = [
    spec.protected && 'protected',
    spec.externallyProvisioned && 'externally provisioned',
    spec.broken && `broken: ${spec.broken.reason}`,
    spec.wipeConsent === metadata.name && 'its disks may be wiped (spec.wipeConsent)',
    spec.power && `power ${spec.power}`,
  ].filter((wish) => typeof wish === 'string');
  const bmc = spec.bmc && [spec.bmc.type, spec.bmc.address].filter(Boolean).join(' ');
  const powerText = power && `${power.state}, read ${formatAgo(power.observedTime, now)}`;
  return [
    ['Power', power?.message === undefined ? powerText : printable(`${powerText}: ${power.message}`)],
    ['BMC', printable(bmc ?? 'none: a person presses the button')],
    [
      'Wanted',
      spec.provision &&
        printable(`${spec.provision.image}, host name ${spec.provision.hostname ?? metadata.name}`),
    ],
    ['On disk', provisioned && provisionedText(provisioned, now)],
    ['Disks hold', status?.disks === 'Data' ? 'data' : status?.disks === 'Blank' ? 'nothing' : undefined],
    ['Taken by', spec.consumer && `${spec.consumer.kind} ${spec.consumer.name}`],
    ['Also', wishes.length === 0 ? undefined : printable(wishes.join(', '))],
    ['Tags', status?.tags?.length ? status.tags.join(', ') : undefined],
    ['UUID', uuid],
    ['MAC', macAddresses?.join(', ')],
    ['Address', seen?.address ?? spec.address],
    ['Boots with', [seen?.bootMode ?? spec.bootMode, seen?.architecture].filter(Boolean).join(', ')],
    ['Last boot', seen?.lastBootTime && formatAgo(seen.lastBootTime, now)],
    ['Inspected', status?.inspectedTime && formatAgo(status.inspectedTime, now)],
  ];
}

function provisionedText(
  {
    image,
    device,
    serial,
    writtenTime,
    confirmedTime,
  }: NonNullable<NonNullable<Machine['status']>['provisioned']>,
  now: Date,
): string {
  const disk = serial === undefined ? device : `${device} (${serial})`;
  const runs =
    confirmedTime === undefined ? 'not yet seen to run' : `runs since ${formatAgo(confirmedTime, now)}`;
  return printable(`${image} on ${disk}, written ${formatAgo(writtenTime, now)}, ${runs}`);
}

function facts(all: readonly Fact[], paint: Paint): string {
  const shown = all.filter((fact): fact is [string, string] => fact[1] !== undefined && fact[1] !== '');
  const width = Math.max(...shown.map(([name]) => name.length));
  return shown.map(([name, value]) => `${paint('strong', name.padEnd(width))}   ${value}`).join('\n');
}

function hardwareTables(inventory: MachineInventory | undefined, paint: Paint): string[] {
  if (inventory === undefined) return [];
  const { cpu, memory, storage, network, gpu } = inventory.resources;
  const processor = cpu.sockets[0]?.name;
  const sockets = cpu.sockets.length > 1 ? ` in ${cpu.sockets.length} sockets` : '';
  const first: Fact[] = [
    [
      'CPU',
      printable(
        `${cpu.total} ${cpu.total === 1 ? 'thread' : 'threads'}${sockets}, ${cpu.architecture}${processor ? `, ${processor}` : ''}`,
      ),
    ],
    ['Memory', formatBytes(memory.total)],
    ...gpu.cards.map((card): Fact => {
      const name = card.nvidia?.model ?? [card.vendor, card.product].filter(Boolean).join(' ');
      return [
        'GPU',
        printable(`${name || card.pci_address || 'unnamed'}${card.driver ? ` (${card.driver})` : ''}`),
      ];
    }),
  ];
  const disks = storage.disks.map((disk): Cell[] => [
    disk.id,
    formatBytes(disk.size),
    disk.type ?? '',
    disk.model ?? '',
    disk.serial ?? '',
    disk.removable ? 'removable' : (disk.signature ?? 'blank'),
  ]);
  const ports = network.cards.flatMap((card) =>
    card.ports.map((port): Cell[] => [
      port.id,
      port.address ?? '',
      port.link_detected ? { text: 'up', tone: 'good' } : { text: 'no link', tone: 'faint' },
      port.link_speed === undefined ? '' : `${port.link_speed} Mbit/s`,
      [card.vendor, card.product].filter(Boolean).join(' '),
    ]),
  );
  return [
    facts(first, paint),
    disks.length === 0 ? '' : renderTable(['DISK', 'SIZE', 'TYPE', 'MODEL', 'SERIAL', 'HOLDS'], disks, paint),
    ports.length === 0 ? '' : renderTable(['PORT', 'MAC', 'LINK', 'SPEED', 'CARD'], ports, paint),
  ];
}

function resultsTable({ status }: Machine, now: Date, paint: Paint): string {
  const { results = [] } = status ?? {};
  if (results.length === 0) return '';
  const rows = results.map(({ name, status: came, durationSeconds, time, output }): Cell[] => [
    name,
    { text: came, tone: came === 'Passed' ? 'good' : came === 'Skipped' ? 'faint' : 'bad' },
    durationSeconds === undefined ? '' : formatAge(durationSeconds),
    formatAgo(time, now),
    came === 'Passed' ? '' : (output?.trim().split('\n').at(-1) ?? ''),
  ]);
  return renderTable(['SCRIPT', 'RESULT', 'TOOK', 'ENDED', 'LAST LINE'], rows, paint);
}

function timelineOf({ metadata, status }: Machine, now: Date, paint: Paint): string {
  const { timeline = [] } = status ?? {};
  if (timeline.length === 0) return '';
  const last = timeline.slice(-shownMoments).map((moment) => `  ${momentLine(moment, now, paint)}`);
  const more =
    timeline.length > shownMoments
      ? [paint('faint', `  earlier ones: selvedge machine timeline ${metadata.name}`)]
      : [];
  return [paint('strong', 'What happened'), ...more, ...last].join('\n');
}
