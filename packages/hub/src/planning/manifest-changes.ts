import { setImmediate as turn } from 'node:timers/promises';
import { canonicalJson, type DeliveryRules, type KubeObject, type ManifestChange } from '@selvedge/api';
import { stringify } from 'yaml';
import { maskRules, maskSecrets } from './mask-secrets.ts';
import { type DiffBudget, unifiedDiff } from './unified-diff.ts';

const maxDiffCharacters = 64 * 1024;
const maxAllCharacters = 1024 * 1024;
/** Writing YAML takes some 20 µs per value. */
const maxValues = 20_000;
const maxAllValues = 60_000;
/** Some ten milliseconds; enough for 2,000 lines that differ in one manifest, or 200 in each of a hundred. */
const maxComparisons = 2_000_000;

/**
 * What becomes of each manifest, in the order of their names. Values of Secrets are masked. Work and memory are bounded for all
 * manifests together, and others have their turn between two of them: whoever may plan chooses both texts.
 */
export async function manifestChanges(
  before: readonly KubeObject[],
  after: readonly KubeObject[],
  namespace: string,
): Promise<{ changes: ManifestChange[]; unchanged: number }> {
  const [old, wanted] = [byResource(before, namespace), byResource(after, namespace)];
  const changes: ManifestChange[] = [];
  let unchanged = 0;
  const budget = { characters: maxAllCharacters, values: maxAllValues, comparisons: maxComparisons };
  for (const key of [...new Set([...old.keys(), ...wanted.keys()])].sort()) {
    const [from, to] = [old.get(key), wanted.get(key)];
    if (from && to && canonicalJson(from.manifest) === canonicalJson(to.manifest)) {
      unchanged += 1;
      continue;
    }
    const change = from === undefined ? 'Added' : to === undefined ? 'Removed' : 'Changed';
    const diff = differenceOf(from?.manifest, to?.manifest, budget);
    changes.push({ change, resource: (to ?? from)?.resource ?? key, diff });
    await turn();
  }
  return { changes, unchanged };
}

/** How the rules of two releases differ, as a unified diff of their YAML; `undefined`: not at all. */
export function rulesChange(before: DeliveryRules, after: DeliveryRules): string | undefined {
  if (canonicalJson(before) === canonicalJson(after)) return undefined;
  if (countValues([before, after], maxAllValues) > maxAllValues) return leftOut;
  const text = unifiedDiff(
    yamlOfRules(maskRules(before, after, 'masked (before)')),
    yamlOfRules(maskRules(after, before, 'masked (after)')),
    { comparisons: maxComparisons },
  );
  return shortened(text, maxDiffCharacters);
}

function yamlOfRules(rules: unknown): string {
  return Object.keys(rules as object).length === 0 ? '' : yamlOf(rules);
}

/** A manifest and what it is called. */
export interface Named {
  readonly resource: string;
  readonly manifest: KubeObject;
}

/** By what makes two manifests the same object at a site: group, kind, namespace and name; a new version is a change. */
export function byResource(manifests: readonly KubeObject[], namespace: string): Map<string, Named> {
  return new Map(
    manifests.map((manifest) => {
      const { apiVersion, kind, metadata } = manifest;
      const group = apiVersion.includes('/') ? (apiVersion.split('/')[0] ?? '') : '';
      const own = metadata.namespace ?? namespace;
      const resource = own === namespace ? `${kind}/${metadata.name}` : `${kind}/${own}/${metadata.name}`;
      return [`${resource} ${group}`, { resource, manifest }];
    }),
  );
}

const leftOut = '(the rest is left out: it is too long)';

/** What may still be spent on the differences of one plan. */
interface PlanBudget extends DiffBudget {
  characters: number;
  /** Values that are written as YAML. */
  values: number;
}

function differenceOf(from: KubeObject | undefined, to: KubeObject | undefined, budget: PlanBudget): string {
  const most = Math.min(maxValues, budget.values);
  const values = countValues(from, most) + countValues(to, most);
  if (values > most || budget.characters === 0) return leftOut;
  budget.values -= values;
  const before = yamlOf(maskSecrets(from, to, 'masked (before)'));
  const after = yamlOf(maskSecrets(to, from, 'masked (after)'));
  const text = unifiedDiff(before, after, budget);
  const diff = shortened(text, Math.min(maxDiffCharacters, budget.characters));
  budget.characters = Math.max(0, budget.characters - diff.length);
  return diff;
}

/** Counts no further than is asked. */
function countValues(value: unknown, most: number): number {
  if (typeof value !== 'object' || value === null) return 1;
  let count = 1;
  for (const item of Object.values(value)) {
    count += countValues(item, most);
    if (count > most) break;
  }
  return count;
}

function yamlOf(manifest: unknown): string {
  if (manifest === undefined) return '';
  // A long text on one line would be folded at places that move with every change.
  return stringify(JSON.parse(canonicalJson(manifest)), { lineWidth: 0, aliasDuplicateObjects: false });
}

function shortened(text: string, most: number): string {
  if (text.length <= most) return text;
  const end = text.lastIndexOf('\n', most);
  return `${text.slice(0, Math.max(0, end))}\n${leftOut}`.trimStart();
}
