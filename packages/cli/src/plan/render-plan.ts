import {
  type ApplicationPlan,
  type ApplicationPlanStatus,
  type PlannedImage,
  type PlannedSites,
  type PlannedWave,
  printable,
} from '@selvedge/api';
import type { Paint } from '../program/terminal.ts';
import { formatAge } from '../render/age.ts';
import { formatBytes } from '../render/bytes.ts';
import { renderTable } from '../render/table.ts';

const namesShown = 5;

/** Something in it has to be decided or mended by a person before all of it happens. */
export function needsPerson({ status }: ApplicationPlan): boolean {
  return (
    status.release.condemned !== undefined ||
    status.removal?.isHeld === true ||
    status.missingVariables.length > 0 ||
    status.missingNodeGroups !== undefined ||
    (status.immutableChanges ?? []).some(({ outcome }) => outcome === 'Refused')
  );
}

/** For people: what changes, where, when, how much is fetched, what is in the way. */
export function renderPlan(plan: ApplicationPlan, now: Date, paint: Paint): string {
  const { status } = plan;
  const parts = [
    headline(plan, paint),
    obstacles(status, paint),
    sitesPart(status, paint),
    manifestsPart(status, paint),
    rulesPart(status, paint),
    wavesPart(status.waves, now, paint),
    bytesPart(status.bytes, paint),
    status.notes.map((note) => `${paint('faint', 'Note:')} ${printable(note)}`).join('\n'),
    paint('faint', 'Nothing was changed.'),
  ];
  return parts.filter((part) => part !== '').join('\n\n');
}

const changeWords = {
  Created: 'would be created',
  Changed: 'would go out anew',
  PlacementOnly: 'has the same content; its sites change',
  Unchanged: 'has the same content and the same sites',
} as const;

function headline({ metadata, status }: ApplicationPlan, paint: Paint): string {
  const name = paint('strong', `${metadata.namespace ?? ''}/${metadata.name}`);
  const base =
    status.base === undefined || status.base === status.release.name ? '' : `, after ${status.base}`;
  return `${name} ${changeWords[status.change]}: release ${status.release.name}${base}`;
}

function obstacles(status: ApplicationPlanStatus, paint: Paint): string {
  const { release, removal, missingVariables, missingNodeGroups, immutableChanges = [] } = status;
  const cautions: string[] = [];
  const lines: string[] = [];
  if (release.condemned !== undefined) {
    const { rollout, message } = release.condemned;
    lines.push(`this content was condemned in ${rollout}: ${message}`);
  }
  if (removal?.isHeld === true)
    lines.push(`the removal would be held: ${removal.message ?? removal.reason ?? ''}`);
  for (const { variable, ...sites } of missingVariables) {
    lines.push(`variable ${variable} is missing at ${sitesText(sites)}: it would not be offered there`);
  }
  if (missingNodeGroups !== undefined) {
    const { nodeGroups, ...sites } = missingNodeGroups;
    lines.push(
      `none of the node groups ${nodeGroups.join(', ')} is there at ${sitesText(sites)}: it would not be offered there`,
    );
  }
  for (const { resource, fields, outcome, advice } of immutableChanges) {
    const what = `${resource}: ${fields.join(', ')} cannot be changed in place`;
    if (outcome === 'Refused') lines.push(`${what}, so sites refuse the release: ${advice}`);
    else cautions.push(`${what}: ${advice}`);
  }
  return [
    ...lines.map((line) => `${paint('bad', '✗')} ${printable(line)}`),
    ...cautions.map((line) => `${paint('caution', '!')} ${printable(line)}`),
  ].join('\n');
}

function sitesPart({ sites }: ApplicationPlanStatus, paint: Paint): string {
  const rows = (['added', 'changed', 'removed', 'unchanged'] as const)
    .filter((change) => sites[change].count > 0)
    .map((change) => [
      change === 'removed' ? { text: change, tone: 'bad' as const } : change,
      sites[change].count,
      namesText(sites[change]),
    ]);
  return rows.length === 0
    ? 'No site has it or would get it.'
    : renderTable(['SITES', 'COUNT', 'NAMES'], rows, paint);
}

function manifestsPart({ manifests }: ApplicationPlanStatus, paint: Paint): string {
  if (manifests.changes.length === 0) return 'The manifests stay as they are.';
  const marks = { Added: '+', Removed: '-', Changed: '~' } as const;
  const tones = { Added: 'good', Removed: 'bad', Changed: 'caution' } as const;
  const unchanged = manifests.unchanged === 0 ? '' : ` (${manifests.unchanged} unchanged)`;
  const blocks = manifests.changes.map(({ change, resource, diff }) => {
    const title = paint(tones[change], `${marks[change]} ${resource}`);
    const lines = diff.split('\n').map((line) => `    ${paintLine(line, paint)}`);
    return diff === '' ? title : [title, ...lines].join('\n');
  });
  return [`Manifests${unchanged}:`, ...blocks].join('\n');
}

/** `spec.apply` and the node groups: they are no manifest, and go out as one. */
function rulesPart({ rules }: ApplicationPlanStatus, paint: Paint): string {
  if (rules === undefined) return '';
  return [
    'Rules (spec.apply, node groups):',
    ...rules.diff.split('\n').map((line) => `    ${paintLine(line, paint)}`),
  ].join('\n');
}

function paintLine(line: string, paint: Paint): string {
  // Indentation is what YAML is made of: only what could steer the terminal goes.
  const text = line.replace(/\p{Cc}/gu, '');
  if (text.startsWith('+')) return paint('good', text);
  if (text.startsWith('-')) return paint('bad', text);
  return text.startsWith('@@') ? paint('faint', text) : text;
}

function wavesPart(waves: readonly PlannedWave[], now: Date, paint: Paint): string {
  if (waves.length === 0) return '';
  const rows = waves.map((wave) => [
    wave.name,
    wave.count,
    wave.away === 0 ? '-' : { text: String(wave.away), tone: 'caution' as const },
    wave.held === 0 ? '-' : { text: String(wave.held), tone: 'caution' as const },
    timeText(wave.expectedStartTime, now),
    timeText(wave.expectedEndTime, now),
    namesText(wave),
  ]);
  const table = renderTable(['WAVE', 'SITES', 'AWAY', 'HELD', 'BEGINS', 'ENDS', 'NAMES'], rows, paint);
  const basis = waves
    .filter((wave) => wave.basis.length > 0)
    .map((wave) => `  ${wave.name}: ${printable(wave.basis.join('; '))}`);
  return [table, ...(basis.length === 0 ? [] : ['The times rest on:', ...basis])].join('\n');
}

/** `in 12m (02:14)`: how long from now, and the hour in UTC. */
function timeText(time: string | undefined, now: Date): string {
  if (time === undefined) return 'not known';
  const seconds = (Date.parse(time) - now.getTime()) / 1000;
  if (seconds < 1) return 'now';
  const clock =
    seconds < 86_400 ? `${time.slice(11, 16)} UTC` : `${time.slice(0, 10)} ${time.slice(11, 16)} UTC`;
  return `in ${formatAge(seconds)} (${clock})`;
}

function bytesPart(bytes: ApplicationPlanStatus['bytes'], paint: Paint): string {
  if (bytes.total === 0 && bytes.images.length === 0) return 'Nothing has to be fetched.';
  const more = bytes.isComplete ? '' : ', and what is not known';
  const [most] = bytes.perSite;
  const oneSite = most === undefined ? '' : `; the most by ${most.site}: ${formatBytes(most.bytes)}`;
  const lines = [`To be fetched: ${formatBytes(bytes.total)} in all${more}${oneSite}`];
  const rows = [
    ...(bytes.manifests === 0
      ? []
      : [
          [
            'manifests',
            bytes.manifests / Math.max(1, bytes.manifestsPerSite),
            formatBytes(bytes.manifests),
            'exactly',
          ],
        ]),
    ...bytes.images.map((image) => [
      printable(image.name),
      image.sites,
      image.totalBytes === undefined
        ? { text: 'not known', tone: 'caution' as const }
        : `${image.source === 'SiteReports' ? 'up to ' : ''}${formatBytes(image.totalBytes)}`,
      sourceText(image),
    ]),
  ];
  return [...lines, renderTable(['WHAT', 'SITES', 'BYTES', 'KNOWN FROM'], rows, paint)].join('\n');
}

function sourceText({ source, reason }: PlannedImage): string {
  switch (source) {
    case 'Registry':
      return 'the registry: layers that the site does not have';
    case 'SiteReports':
      return `size on disk where it is (${reason ?? ''})`;
    case 'Unknown':
      return reason ?? '';
  }
}

function sitesText(sites: PlannedSites): string {
  return `${sites.count} ${sites.count === 1 ? 'site' : 'sites'} (${namesText(sites)})`;
}

function namesText({ count, names }: PlannedSites): string {
  const shown = names.slice(0, namesShown).join(', ');
  return count > namesShown ? `${shown}, …` : shown;
}
