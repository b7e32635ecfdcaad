import { type Application, type Condition, printable } from '@selvedge/api';
import type { Paint } from '../program/terminal.ts';
import { formatAgo } from '../render/age.ts';
import { describeSource } from './describe-source.ts';

/** Conditions that say what is wrong when they are not as here. */
const wanted: Readonly<Record<string, Condition['status']>> = {
  SourceReady: 'True',
  Released: 'True',
  ImagesResolved: 'True',
  Degraded: 'False',
  ReleaseCondemned: 'False',
};

export function faultsOf({ status }: Application): Condition[] {
  return (status?.conditions ?? []).filter(({ type, status: found }) => {
    const good = wanted[type];
    return good !== undefined && found !== good;
  });
}

/** One application for people. */
export function renderApp(application: Application, now: Date, paint: Paint): string {
  const { metadata, status } = application;
  const { source, sites } = status ?? {};
  const counts = Object.entries(sites ?? {}).flatMap(([name, count]) => (count ? [`${count} ${name}`] : []));
  const variants = (source?.variants ?? []).map(({ overrides }) => overrides.join('+'));
  const facts: [string, string | undefined][] = [
    ['Application', `${metadata.namespace}/${metadata.name}`],
    ['Source', describeSource(application)],
    ['Revision', source && printable(source.revision)],
    ['Read', source && `${formatAgo(source.readTime, now)}: ${source.manifests} manifests`],
    ['Variants', variants.length === 0 ? undefined : variants.join(', ')],
    ['Release', status?.release ?? 'none yet'],
    ['Rollout', status?.rollout && `${status.rollout}${status.phase ? `, ${status.phase}` : ''}`],
    ['Sites', counts.join(', ')],
  ];
  const shown = facts.filter((fact): fact is [string, string] => fact[1] !== undefined && fact[1] !== '');
  const width = Math.max(...shown.map(([name]) => name.length));
  const faults = faultsOf(application).map(
    ({ type, reason, message }) => `${paint('bad', '✗')} ${type}: ${reason}: ${printable(message)}`,
  );
  const lines = shown.map(([name, value]) => `${paint('strong', name.padEnd(width))}   ${value}`);
  return [...faults, ...(faults.length > 0 ? [''] : []), ...lines].join('\n');
}
