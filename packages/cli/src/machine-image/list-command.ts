import { type MachineImage, machineImages } from '@selvedge/api';
import { type ConnectOptions, connect } from '../program/connect.ts';
import { exitCode } from '../program/exit-code.ts';
import { type Command, formatDocument, type OutputFormat } from '../program/terminal.ts';
import { formatAge, secondsSince } from '../render/age.ts';
import { formatBytes } from '../render/bytes.ts';
import { type Cell, renderTable } from '../render/table.ts';

export interface ListImagesOptions extends ConnectOptions {
  readonly output: OutputFormat;
}

const header = [
  'NAME',
  'TYPE',
  'ARCH',
  'BOOTS WITH',
  'FORMAT',
  'SIZE',
  'DISK',
  'MACHINES',
  'READY',
  'AGE',
  'NOTE',
];

export const listImagesCommand: Command<ListImagesOptions> = async (options, ctx) => {
  await using hub = await connect(options, ctx.process);
  const { items } = await hub.client.list<MachineImage>(machineImages);
  if (options.output !== 'table') {
    ctx.print(await formatDocument(options.output, items));
    return exitCode.ok;
  }
  if (items.length === 0) {
    ctx.print('No machine images. selvedge machine-image push puts one into the registry of the hub.');
    return exitCode.ok;
  }
  const now = ctx.process.clock.now();
  const rows = items
    .toSorted((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))
    .map((image) => cellsOf(image, now));
  ctx.print(renderTable(header, rows, ctx.paint));
  return exitCode.ok;
};

function cellsOf({ metadata, spec, status }: MachineImage, now: Date): Cell[] {
  const ready = status?.conditions?.find(({ type }) => type === 'Ready');
  const bytes = (value: number | undefined) => (value === undefined ? '-' : formatBytes(value));
  const { creationTimestamp } = metadata;
  return [
    metadata.name,
    spec.type ?? 'Disk',
    spec.architecture ?? 'amd64',
    (spec.bootModes ?? ['BIOS', 'UEFI']).join(', '),
    spec.format ?? '-',
    bytes(spec.sizeBytes),
    bytes(spec.diskBytes),
    status?.machines ?? 0,
    { text: ready?.status ?? '?', tone: ready?.status === 'True' ? 'good' : ready ? 'bad' : 'faint' },
    creationTimestamp === undefined ? '-' : formatAge(secondsSince(creationTimestamp, now)),
    ready?.message ?? spec.description ?? '',
  ];
}
