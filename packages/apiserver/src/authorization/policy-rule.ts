import type { PolicyRule } from '@selvedge/api';
import type { Attributes, PathAttributes, ResourceAttributes } from './authorizer.ts';

/** Whether one rule allows what is asked, by the rules of Kubernetes' RBAC. */
export function ruleAllows(rule: PolicyRule, attributes: Attributes): boolean {
  if (!hasOrAll(rule.verbs, attributes.verb)) return false;
  return 'path' in attributes ? allowsPath(rule, attributes) : allowsResource(rule, attributes);
}

const hasOrAll = (list: readonly string[] | undefined, wanted: string): boolean =>
  list !== undefined && (list.includes(wanted) || list.includes('*'));

function allowsPath({ nonResourceURLs }: PolicyRule, { path }: PathAttributes): boolean {
  return nonResourceURLs?.some((pattern) => pathMatches(pattern, path)) ?? false;
}

/** `*` at the end stands for whatever follows, elsewhere for itself. */
function pathMatches(pattern: string, path: string): boolean {
  if (pattern === path) return true;
  return pattern.endsWith('*') && path.startsWith(pattern.slice(0, -1));
}

function allowsResource(
  rule: PolicyRule,
  { group, resource, subresource, name }: ResourceAttributes,
): boolean {
  const { apiGroups, resources, resourceNames } = rule;
  if (!hasOrAll(apiGroups, group) || resources === undefined) return false;
  if (!listsResource(resources, resource, subresource)) return false;
  if (resourceNames === undefined || resourceNames.length === 0) return true;
  return name !== undefined && resourceNames.includes(name);
}

function listsResource(
  listed: readonly string[],
  resource: string,
  subresource: string | undefined,
): boolean {
  if (listed.includes('*')) return true;
  if (!subresource) return listed.includes(resource);
  return listed.includes(`${resource}/${subresource}`) || listed.includes(`*/${subresource}`);
}

/** Whether the second rule allows nothing that the first does not. */
export function ruleCovers(owned: PolicyRule, wanted: PolicyRule): boolean {
  if (!coversTexts(owned.verbs, wanted.verbs)) return false;
  const paths = wanted.nonResourceURLs ?? [];
  const patterns = owned.nonResourceURLs ?? [];
  if (!paths.every((path) => patterns.some((pattern) => pathMatches(pattern, path)))) return false;
  if ((wanted.resources ?? []).length === 0) return true;
  if (!coversTexts(owned.apiGroups, wanted.apiGroups)) return false;
  return coversResources(owned.resources, wanted.resources) && coversNames(owned, wanted);
}

function coversTexts(owned: readonly string[] = [], wanted: readonly string[] = []): boolean {
  return owned.includes('*') || wanted.every((text) => owned.includes(text));
}

function coversResources(owned: readonly string[] = [], wanted: readonly string[] = []): boolean {
  if (owned.includes('*')) return true;
  return wanted.every((resource) => {
    const slash = resource.indexOf('/');
    return owned.includes(resource) || (slash > 0 && owned.includes(`*${resource.slice(slash)}`));
  });
}

function coversNames({ resourceNames: owned = [] }: PolicyRule, { resourceNames: wanted = [] }: PolicyRule) {
  if (owned.length === 0) return true;
  return wanted.length > 0 && wanted.every((name) => owned.includes(name));
}

/** Beyond it a role is refused: nobody writes such a one by hand, and looking for what is missing would take long. */
export const maxCombinations = 50_000;

/**
 * What of the wanted rules the owned ones do not allow, in the smallest parts (one verb on one resource); `undefined`
 * when the wanted ones hold more than `maxCombinations` of these and not each is covered as a whole.
 */
export function missingRules(
  owned: readonly PolicyRule[],
  wanted: readonly PolicyRule[],
): PolicyRule[] | undefined {
  const uncovered = wanted.filter((rule) => !owned.some((o) => ruleCovers(o, rule)));
  const combinations = uncovered.reduce((sum, rule) => sum + countParts(rule), 0);
  if (combinations > maxCombinations) return undefined;
  const missing: PolicyRule[] = [];
  for (const rule of uncovered) {
    for (const part of partsOf(rule)) {
      if (!owned.some((o) => ruleCovers(o, part))) missing.push(part);
    }
  }
  return missing;
}

function countParts({
  verbs,
  apiGroups = [],
  resources = [],
  resourceNames = [],
  nonResourceURLs = [],
}: PolicyRule) {
  const names = Math.max(1, resourceNames.length);
  return verbs.length * (apiGroups.length * resources.length * names + nonResourceURLs.length);
}

function* partsOf(rule: PolicyRule): Generator<PolicyRule> {
  const { verbs, apiGroups = [], resources = [], resourceNames = [], nonResourceURLs = [] } = rule;
  const names = resourceNames.length > 0 ? resourceNames : [undefined];
  for (const verb of verbs) {
    for (const group of apiGroups) {
      for (const resource of resources) {
        for (const name of names) {
          const named = name === undefined ? {} : { resourceNames: [name] };
          yield { verbs: [verb], apiGroups: [group], resources: [resource], ...named };
        }
      }
    }
    for (const path of nonResourceURLs) yield { verbs: [verb], nonResourceURLs: [path] };
  }
}

/** The same permissions with fewer rules: the verbs of one resource (and name) or path stand together. */
export function compactRules(parts: readonly PolicyRule[]): PolicyRule[] {
  const byPlace = new Map<string, PolicyRule>();
  for (const { verbs, ...place } of parts) {
    const key = JSON.stringify([
      place.apiGroups,
      place.resources,
      place.resourceNames,
      place.nonResourceURLs,
    ]);
    const known = byPlace.get(key);
    byPlace.set(key, { ...place, verbs: known ? [...new Set([...known.verbs, ...verbs])] : verbs });
  }
  return [...byPlace.values()];
}

/** `{APIGroups:["apps"], Resources:["deployments"], Verbs:["get" "list"]}`, as Kubernetes prints it. */
export function describeRule(rule: PolicyRule): string {
  const parts: [string, readonly string[] | undefined][] = [
    ['APIGroups', rule.apiGroups],
    ['Resources', rule.resources],
    ['NonResourceURLs', rule.nonResourceURLs],
    ['ResourceNames', rule.resourceNames],
    ['Verbs', rule.verbs],
  ];
  const given = parts.filter(([, values]) => values !== undefined && values.length > 0);
  return `{${given.map(([name, values = []]) => `${name}:${quoteAll(values)}`).join(', ')}}`;
}

export const quoteAll = (values: readonly string[]): string =>
  `[${values.map((value) => JSON.stringify(value)).join(' ')}]`;
