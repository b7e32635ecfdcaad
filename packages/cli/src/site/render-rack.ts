import { printable, type Site } from '@selvedge/api';
import type { Paint, Tone } from '../program/terminal.ts';
import { formatAgo } from '../render/age.ts';
import { formatBytes } from '../render/bytes.ts';
import { type Cell, renderTable } from '../render/table.ts';

type Rack = NonNullable<NonNullable<Site['status']>['rack']>;

/** The site's rack: whether machines can boot there, and which images it has. Nothing where the site has none. */
export function renderRack({ spec, status }: Site, now: Date, paint: Paint): string[] {
  const { rack } = status ?? {};
  if (rack === undefined) {
    if (spec?.rack === undefined) return [];
    return [
      `${paint('caution', '!')} spec.rack is there, but the agent has no rack: start it with selvedge-agent run --rack.`,
    ];
  }
  const why = rack.message === undefined ? '' : `\n${paint('bad', '✗')} ${printable(rack.message)}`;
  return [
    `${paint('strong', 'Rack')}   as it said ${formatAgo(rack.observedTime, now)}${why}`,
    discoveryText(rack, now, paint),
    networkTable(rack, now, paint),
    imageTable(rack, paint),
  ].filter((part) => part !== '');
}

function discoveryText({ discoveryFull }: Rack, now: Date, paint: Paint): string {
  if (discoveryFull === undefined) return '';
  const { limit, turnedAway, lastSeenTime } = discoveryFull;
  return `${paint('caution', '!')} Discovery is full: ${limit} boxes that nobody wants are remembered, ${turnedAway} more are not shown (the last ${formatAgo(lastSeenTime, now)}).`;
}

const networkTones: Readonly<Record<string, Tone>> = { Serving: 'good', Failed: 'bad', Off: 'faint' };

function networkTable({ networks }: Rack, now: Date, paint: Paint): string {
  if (networks.length === 0)
    return 'No network: spec.rack.networks of the Site is empty, so nothing boots there.';
  const rows = networks.map(({ name, interface: port, state, message, otherServers = [] }): Cell[] => {
    const others = otherServers.map(
      ({ address, lastSeenTime }) => `another DHCP server: ${address}, ${formatAgo(lastSeenTime, now)}`,
    );
    const tone = others.length > 0 ? 'caution' : (networkTones[state] ?? 'caution');
    return [name, port, { text: state, tone }, [message, ...others].filter(Boolean).join('; ')];
  });
  return renderTable(['NETWORK', 'INTERFACE', 'STATE', 'NOTE'], rows, paint);
}

function imageTable({ images }: Rack, paint: Paint): string {
  if (images.length === 0) return '';
  const rows = images.map(({ name, state, doneBytes, totalBytes, message }): Cell[] => {
    const tone = state === 'Ready' ? 'good' : state === 'Failed' ? 'bad' : 'caution';
    const isUnderWay = state !== 'Ready' && doneBytes !== undefined && totalBytes !== undefined;
    const done = isUnderWay ? `${formatBytes(doneBytes)} of ${formatBytes(totalBytes)}` : '';
    return [name, { text: state, tone }, [done, message].filter(Boolean).join('; ')];
  });
  return renderTable(['MACHINE IMAGE', 'STATE', 'NOTE'], rows, paint);
}
