import { setImmediate as turn } from 'node:timers/promises';
import {
  type Application,
  type Combination,
  findReferences,
  isPlaced,
  manifestsLimitBytes,
  ReleaseResolver,
  type Site,
} from '@selvedge/api';
import type { BuiltRelease } from './build-release.ts';

/** Why the present content gives no release: reason and message of the condition `Released`. */
export interface ReleaseFault {
  readonly reason: string;
  readonly message: string;
}

/** Most faults that one message names. */
const maxNamed = 5;
/** More content than this no site is sent: manifests, overrides, variants and values together. */
const contentLimitBytes = 4 * manifestsLimitBytes;

/**
 * What is wrong with a release before any site sees it: each override by itself, and together with those that it meets at some site of the
 * placement. Sites alike are looked at once; others have their turn in between.
 */
export async function findReleaseFault(
  application: Application,
  { content, rules, release }: Pick<BuiltRelease, 'content' | 'rules' | 'release'>,
  sites: readonly Site[],
): Promise<ReleaseFault | undefined> {
  const { name, namespace = '' } = application.metadata;
  if (release.spec.sizeBytes > contentLimitBytes) {
    const message = `the release would have ${release.spec.sizeBytes} bytes with its overrides, Helm variants and values of variables; the limit is ${contentLimitBytes}: split the application`;
    return { reason: 'TooLarge', message };
  }
  const undeclared = undeclaredVariables({ content, rules });
  if (undeclared.length > 0) {
    return {
      reason: 'VariableUndeclared',
      message: `${undeclared.map((variable) => `\${variables.${variable}}`).join(', ')}: spec.variables does not declare ${undeclared.join(', ')}`,
    };
  }
  const resolver = new ReleaseResolver(content, { release: '', application: name, namespace });
  const taken = takenSecrets(resolver, namespace);
  if (taken.length > 0) {
    const message = `spec.secrets: the manifests have Secret ${taken.join(', ')} too: give it another name with spec.secrets[].as`;
    return { reason: 'SecretDefinedTwice', message };
  }
  if (rules.overrides === undefined) return undefined;
  return findOverrideFault(resolver, combinationsAt(resolver, application, sites));
}

async function findOverrideFault(
  resolver: ReleaseResolver,
  combinations: ReadonlyMap<string, MetCombination>,
): Promise<ReleaseFault | undefined> {
  const faults = new Set<string>();
  for (const index of (resolver.rules.overrides ?? []).keys()) {
    for (const fault of faultsOf(resolver.combination([index]))) faults.add(fault);
    await turn();
  }
  // A fault of one override by itself shows wherever it is met: named once.
  if (faults.size === 0) {
    for (const { overrides, site, sites } of combinations.values()) {
      const combination = resolver.combination(overrides);
      const others = sites === 1 ? '' : ` and ${sites - 1} more`;
      for (const fault of faultsOf(combination)) faults.add(`${fault} (at site ${site}${others})`);
      if (faults.size >= maxNamed) break;
      await turn();
    }
  }
  if (faults.size === 0) return undefined;
  const shown = [...faults].slice(0, maxNamed).map((fault) => `spec.${fault}`);
  const rest = faults.size > maxNamed ? `; and ${faults.size - maxNamed} more` : '';
  return { reason: 'OverrideInvalid', message: `${shown.join('; ')}${rest}` };
}

function faultsOf({ faults, manifests, trace }: Combination): readonly string[] {
  // Nothing was changed: the manifests are those that were checked as they are.
  if (faults.length > 0 || trace.length === 0) return faults;
  const bytes = new TextEncoder().encode(JSON.stringify(manifests)).length;
  if (bytes <= manifestsLimitBytes) return [];
  const last = trace.at(-1)?.override ?? '';
  return [`${last}: makes ${bytes} bytes of manifests; the limit is ${manifestsLimitBytes}`];
}

interface MetCombination {
  readonly overrides: readonly number[];
  /** The first of them, by name. */
  readonly site: string;
  readonly sites: number;
}

/** The distinct combinations of overrides that meet at sites of the placement. */
export function combinationsAt(
  resolver: ReleaseResolver,
  application: Pick<Application, 'spec' | 'status'>,
  sites: readonly Site[],
): Map<string, MetCombination> {
  const met = new Map<string, MetCombination>();
  for (const site of sites) {
    if (!isPlaced(application, site)) continue;
    const overrides = resolver.selectedBy(site.metadata.labels ?? {});
    const key = overrides.join();
    const known = met.get(key);
    met.set(key, {
      overrides,
      site: known === undefined || site.metadata.name < known.site ? site.metadata.name : known.site,
      sites: (known?.sites ?? 0) + 1,
    });
  }
  return met;
}

/** Names in `${variables.NAME}` anywhere in the content that nobody declares. */
function undeclaredVariables({ content, rules }: Pick<BuiltRelease, 'content' | 'rules'>): string[] {
  const declared = new Set((rules.variables ?? []).map(({ name }) => name));
  const named = findReferences(content).flatMap((found) => (found.kind === 'declared' ? [found.name] : []));
  return [...new Set(named)].filter((name) => !declared.has(name)).sort();
}

function takenSecrets(resolver: ReleaseResolver, namespace: string): string[] {
  const { secrets = [], variants = [] } = resolver.rules;
  const names = new Set(secrets.map(({ name, as }) => as ?? name));
  const manifests = [...resolver.combination([]).manifests, ...variants.flatMap(({ set }) => set)];
  return manifests
    .filter(({ apiVersion, kind, metadata }) => {
      const isOwn = (metadata.namespace ?? namespace) === namespace;
      return apiVersion === 'v1' && kind === 'Secret' && isOwn && names.has(metadata.name);
    })
    .map(({ metadata }) => metadata.name);
}
