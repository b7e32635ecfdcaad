import { type Delivery, formatProgress, printable, type Site } from '@selvedge/api';
import type { Paint, Tone } from '../program/terminal.ts';
import { formatAge, formatAgo, secondsSince } from '../render/age.ts';
import { type Cell, renderTable } from '../render/table.ts';
import { connectivityTone } from '../status/render-status.ts';
import { faultyConditions } from '../status/status-report.ts';
import { lifeFacts } from './life-facts.ts';
import { renderRack } from './render-rack.ts';
import { inventoryFacts, renderInventory } from './render-inventory.ts';

/** One site for people: who speaks for it, what it is, what runs there. */
export function renderSite(
  known: { site: Site; deliveries: readonly Delivery[]; now: Date },
  paint: Paint,
): string {
  const { site, deliveries, now } = known;
  const faults = faultyConditions(site).map((c) => `${paint('bad', '✗')} ${printable(c.message)}`);
  return [
    faults.join('\n'),
    renderFacts([...factsOf(site, now, paint), ...lifeFacts(site, now), ...inventoryFacts(site, now)], paint),
    ...renderInventory(site, paint),
    ...renderRack(site, now, paint),
    renderFollowed(site, paint),
    renderDeliveries(deliveries, now, paint),
  ]
    .filter((part) => part !== '')
    .join('\n\n');
}

function factsOf(site: Site, now: Date, paint: Paint): [string, string][] {
  const { spec, status, metadata } = site;
  const agent = status?.agent;
  const connectivity = status?.connectivity ?? 'Unknown';
  const facts: [string, string | undefined][] = [
    ['Site', spec?.displayName ? `${metadata.name} (${printable(spec.displayName)})` : metadata.name],
    ['Connectivity', paint(connectivityTone(connectivity), connectivity)],
    ['Last seen', formatAgo(status?.lastSeenTime, now)],
    ['Labels', pairs(metadata.labels)],
    ['Variables', pairs(spec?.variables)],
    ['Location', spec?.location?.address && printable(spec.location.address)],
    ['Time zone', spec?.timeZone],
    ['Agent', agent && printable(`${agent.version} on ${agent.hostname ?? 'a machine without name'}`)],
    ['System', agent && printable([agent.os, agent.architecture, agent.runtime].filter(Boolean).join(', '))],
    ['Clock', clockFact(agent?.clockOffsetSeconds)],
    ['Key', agent && `${agent.keyFingerprint}, since ${formatAgo(agent.enrolledTime, now)}`],
    ['Revoked keys', spec?.revokedKeys?.length ? spec.revokedKeys.join(', ') : undefined],
    ['Epoch', status?.epoch === undefined ? undefined : String(status.epoch)],
  ];
  return facts.filter((fact): fact is [string, string] => fact[1] !== undefined && fact[1] !== '');
}

function renderFacts(facts: readonly [string, string][], paint: Paint): string {
  const width = Math.max(...facts.map(([name]) => name.length));
  return facts.map(([name, value]) => `${paint('strong', name.padEnd(width))}   ${value}`).join('\n');
}

function clockFact(offsetSeconds: number | undefined): string | undefined {
  if (offsetSeconds === undefined || Math.abs(offsetSeconds) < 2) return undefined;
  return `${formatAge(Math.abs(offsetSeconds))} ${offsetSeconds > 0 ? 'fast' : 'slow'}`;
}

function pairs(record: Readonly<Record<string, unknown>> | undefined): string {
  return Object.entries(record ?? {})
    .map(([key, value]) => printable(`${key}=${String(value)}`))
    .join(', ');
}

/** What the site follows, while that is newer than what the hub knows. */
function renderFollowed({ status }: Site, paint: Paint): string {
  const { hubBehind } = status ?? {};
  if (hubBehind === undefined) return '';
  const rows = hubBehind.applications.map(({ name, release }): Cell[] => [name, release]);
  const title = `By its own account the site follows epoch ${hubBehind.agentEpoch}:`;
  const applications = `${title}\n${renderTable(['APPLICATION', 'RELEASE'], rows, paint)}`;
  const { machines = [] } = hubBehind;
  if (machines.length === 0) return applications;
  const differences = machines.map(({ name, followed, wanted }): Cell[] => [name, followed, wanted]);
  return `${applications}\n\n${renderTable(['MACHINE', 'ITS RACK WAS TOLD', 'THIS HUB HAS'], differences, paint)}`;
}

function renderDeliveries(deliveries: readonly Delivery[], now: Date, paint: Paint): string {
  if (deliveries.length === 0) return 'No application is meant for this site.';
  const header = ['APPLICATION', 'WANTED', 'STATE', 'SINCE', 'OBSERVED', 'MESSAGE'];
  return renderTable(
    header,
    deliveries.map((delivery) => deliveryCells(delivery, now)),
    paint,
  );
}

function deliveryCells({ metadata, spec, status }: Delivery, now: Date): Cell[] {
  const age = (time: string | undefined) => (time === undefined ? '-' : formatAge(secondsSince(time, now)));
  return [
    `${metadata.namespace ?? ''}/${spec.application}`,
    spec.release ?? '-',
    { text: status.state, tone: stateTone(status.state) },
    age(status.sinceTime),
    age(status.observedTime),
    explanation(status, now),
  ];
}

function explanation(status: Delivery['status'], now: Date): string {
  const { state, reason, message, waiting, drift = [], progress } = status;
  const drifted = drift.length === 0 ? '' : `others changed ${drift.join('; ')}`;
  const fetched = state === 'Preparing' && progress !== undefined ? formatProgress(progress, now) : '';
  const said = [reason, message].filter(Boolean).join(': ');
  const why = [said, drifted, fetched].filter(Boolean).join('; ');
  if (waiting === undefined) return why;
  const until = waiting.until === undefined ? '' : ` until ${waiting.until}`;
  const waits = `waits for ${waiting.reason}${until}${waiting.message ? `: ${waiting.message}` : ''}`;
  return why === '' ? waits : `${why}; ${waits}`;
}

function stateTone(state: Delivery['status']['state']): Tone {
  if (state === 'Running') return 'good';
  return state === 'Failed' || state === 'Refused' || state === 'Degraded' ? 'bad' : 'caution';
}
