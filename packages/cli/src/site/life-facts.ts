import { printable, type Site, sitePolicy, type WindowKind, windowState } from '@selvedge/api';
import { formatAge, formatAgo } from '../render/age.ts';

/** When a site may change, what holds it, and how it is brought in step with the hub: names and values for people. */
export function lifeFacts(site: Site, now: Date): [string, string][] {
  const { spec, status } = site;
  const facts: [string, string | undefined][] = [
    ['Download', windowFact(site, 'download', now)],
    ['Activate', windowFact(site, 'activate', now)],
    ['Hold', spec?.hold && printable(`${spec.hold.reason} (selvedge site release ${site.metadata.name})`)],
    ...(status?.holds ?? []).map((hold): [string, string] => [
      'Held there',
      printable(
        `${hold.item ?? 'everything'}, by ${hold.by}, ${formatAgo(hold.sinceTime, now)}: ${hold.reason}`,
      ),
    ]),
    ['Recovery', recoveryFact(status?.recovery, now)],
  ];
  return facts.filter((fact): fact is [string, string] => fact[1] !== undefined && fact[1] !== '');
}

/** By the rules that stand in the Site now; a silent site may not have heard of them yet. */
function windowFact({ spec }: Site, kind: WindowKind, now: Date): string | undefined {
  const hasRules =
    (spec?.windows?.[kind] ?? []).length > 0 || (kind === 'activate' && (spec?.blackouts ?? []).length > 0);
  if (!hasRules) return undefined;
  const { isOpen, changesAt, blackout, fault } = windowState(sitePolicy(spec), kind, now);
  if (fault !== undefined) return printable(`closed: ${fault}`);
  const why = blackout === undefined ? '' : ` (blackout${blackout.reason ? `: ${blackout.reason}` : ''})`;
  const state = `${isOpen ? 'open' : 'closed'}${why}`;
  if (changesAt === undefined) return `${state}, for more than a year`;
  const inTime = formatAge((Date.parse(changesAt) - now.getTime()) / 1000);
  return printable(`${state}, ${isOpen ? 'closes' : 'opens'} in ${inTime}, at ${changesAt}`);
}

function recoveryFact(recovery: NonNullable<Site['status']>['recovery'], now: Date): string | undefined {
  if (recovery === undefined) return undefined;
  const { action, state, requestedBy, requestedTime, completedTime, message } = recovery;
  const who = state === 'Requested' ? ` by ${requestedBy}` : '';
  const when = formatAgo(state === 'Requested' ? requestedTime : completedTime, now);
  return printable(`${action} ${state.toLowerCase()}${who} ${when}. ${message ?? ''}`);
}
