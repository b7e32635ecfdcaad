import { isObject } from '@selvedge/api';
import { parse as parseYaml } from 'yaml';
import type { UserInfo } from '../authentication/user-info.ts';
import type { Attributes } from '../authorization/authorizer.ts';

/** How much of a request is recorded. */
export type AuditLevel = 'None' | 'Metadata' | 'Request' | 'RequestResponse';
export type AuditStage = 'RequestReceived' | 'ResponseStarted' | 'ResponseComplete' | 'Panic';

/** What the policy says about one request. */
export interface AuditDecision {
  readonly level: AuditLevel;
  readonly omitStages: readonly AuditStage[];
  readonly omitManagedFields: boolean;
}

interface ResourceRule {
  readonly group: string;
  readonly resources: readonly string[];
  readonly resourceNames: readonly string[];
}

interface AuditRule extends AuditDecision {
  readonly users: readonly string[];
  readonly userGroups: readonly string[];
  readonly verbs: readonly string[];
  readonly resources: readonly ResourceRule[];
  readonly namespaces: readonly string[];
  readonly nonResourceURLs: readonly string[];
}

/** Rules of `audit.k8s.io/v1 Policy`: the first that matches a request decides; none: nothing is recorded. */
export interface AuditPolicy {
  readonly rules: readonly AuditRule[];
}

const levels: readonly string[] = ['None', 'Metadata', 'Request', 'RequestResponse'] satisfies AuditLevel[];
const stages: readonly string[] = [
  'RequestReceived',
  'ResponseStarted',
  'ResponseComplete',
  'Panic',
] satisfies AuditStage[];

/** Reads a policy file, YAML or JSON. Throws an Error that names the place and what is wrong there. */
export function parseAuditPolicy(text: string): AuditPolicy {
  let policy: unknown;
  try {
    policy = parseYaml(text, { maxAliasCount: 100, logLevel: 'error' });
  } catch (cause) {
    throw new Error(`the audit policy is not valid YAML: ${String(cause)}`, { cause });
  }
  const place = new Place('', policy);
  const { apiVersion, kind } = place.object([
    'apiVersion',
    'kind',
    'metadata',
    'omitStages',
    'omitManagedFields',
    'rules',
  ]);
  if (apiVersion !== 'audit.k8s.io/v1' || kind !== 'Policy') {
    throw new Error('the audit policy must have apiVersion: audit.k8s.io/v1 and kind: Policy');
  }
  const shared = {
    omitStages: place.at('omitStages').oneOf(stages) as AuditStage[],
    omitManagedFields: place.at('omitManagedFields').flag() ?? false,
  };
  const rules = place
    .at('rules')
    .items()
    .map((rule) => readRule(rule, shared));
  if (rules.length === 0) throw new Error('the audit policy must have at least one rule in rules');
  return { rules };
}

const ruleFields = [
  'level',
  'users',
  'userGroups',
  'verbs',
  'resources',
  'namespaces',
  'nonResourceURLs',
  'omitStages',
  'omitManagedFields',
];

function readRule(rule: Place, shared: Pick<AuditDecision, 'omitStages' | 'omitManagedFields'>): AuditRule {
  const { level } = rule.object(ruleFields);
  if (typeof level !== 'string' || !levels.includes(level)) {
    throw rule.at('level').wrong(`must be one of ${levels.join(', ')}`);
  }
  const resources = rule.at('resources').items().map(readResourceRule);
  const nonResourceURLs = rule.at('nonResourceURLs').texts();
  if (resources.length + rule.at('namespaces').texts().length > 0 && nonResourceURLs.length > 0) {
    throw rule.wrong('has resources or namespaces and nonResourceURLs: no request is both, make two rules');
  }
  for (const [i, url] of nonResourceURLs.entries()) {
    if (url === '*' || (url.startsWith('/') && !url.slice(0, -1).includes('*'))) continue;
    throw rule.at(`nonResourceURLs[${i}]`).wrong('must be *, or begin with / and have a * only at its end');
  }
  return {
    level: level as AuditLevel,
    users: rule.at('users').texts(),
    userGroups: rule.at('userGroups').texts(),
    verbs: rule.at('verbs').texts(),
    resources,
    namespaces: rule.at('namespaces').texts(),
    nonResourceURLs,
    omitStages: [...shared.omitStages, ...(rule.at('omitStages').oneOf(stages) as AuditStage[])],
    omitManagedFields: rule.at('omitManagedFields').flag() ?? shared.omitManagedFields,
  };
}

function readResourceRule(place: Place): ResourceRule {
  const { group = '' } = place.object(['group', 'resources', 'resourceNames']);
  if (typeof group !== 'string') throw place.at('group').wrong('must be a text');
  if (group.includes('/')) throw place.at('group').wrong('must be a group without its version');
  const resources = place.at('resources').texts();
  const resourceNames = place.at('resourceNames').texts();
  if (resourceNames.length > 0 && resources.length === 0) {
    throw place.at('resourceNames').wrong('needs resources');
  }
  return { group, resources, resourceNames };
}

/** A value in the file and where it stands, for messages. */
class Place {
  readonly #path: string;
  readonly #value: unknown;

  constructor(path: string, value: unknown) {
    this.#path = path;
    this.#value = value;
  }

  at(name: string): Place {
    const value = isObject(this.#value) ? this.#value[name] : undefined;
    return new Place(this.#path === '' ? name : `${this.#path}.${name}`, value);
  }

  wrong(what: string): Error {
    return new Error(`the audit policy is wrong: ${this.#path || 'the file'} ${what}`);
  }

  object(fields: readonly string[]): Readonly<Record<string, unknown>> {
    if (!isObject(this.#value)) throw this.wrong('must be an object');
    for (const name of Object.keys(this.#value)) {
      if (!fields.includes(name)) throw this.at(name).wrong(`is not known; there are ${fields.join(', ')}`);
    }
    return this.#value;
  }

  items(): Place[] {
    if (this.#value === undefined || this.#value === null) return [];
    if (!Array.isArray(this.#value)) throw this.wrong('must be a list');
    return this.#value.map((value, i) => new Place(`${this.#path}[${i}]`, value));
  }

  texts(): string[] {
    return this.items().map((item) => {
      if (typeof item.#value !== 'string') throw item.wrong('must be a text');
      return item.#value;
    });
  }

  oneOf(allowed: readonly string[]): string[] {
    return this.texts().map((text, i) => {
      if (allowed.includes(text)) return text;
      throw this.at(`[${i}]`).wrong(`must be one of ${allowed.join(', ')}`);
    });
  }

  flag(): boolean | undefined {
    if (this.#value === undefined || this.#value === null) return undefined;
    if (typeof this.#value !== 'boolean') throw this.wrong('must be true or false');
    return this.#value;
  }
}

const nothing: AuditDecision = { level: 'None', omitStages: [], omitManagedFields: false };

export function decideAudit(policy: AuditPolicy, user: UserInfo, attributes: Attributes): AuditDecision {
  return policy.rules.find((rule) => matches(rule, user, attributes)) ?? nothing;
}

/** An empty list means: any. */
const admits = (list: readonly string[], value: string): boolean => list.length === 0 || list.includes(value);

function matches(rule: AuditRule, user: UserInfo, attributes: Attributes): boolean {
  if (!admits(rule.users, user.name)) return false;
  if (rule.userGroups.length > 0 && !rule.userGroups.some((group) => user.groups.includes(group)))
    return false;
  if (!admits(rule.verbs, attributes.verb)) return false;
  if ('path' in attributes) {
    if (rule.namespaces.length > 0 || rule.resources.length > 0) return false;
    return (
      rule.nonResourceURLs.length === 0 || rule.nonResourceURLs.some((url) => covers(url, attributes.path))
    );
  }
  if (rule.nonResourceURLs.length > 0) return false;
  // '' stands for what has no namespace.
  if (!admits(rule.namespaces, attributes.namespace ?? '')) return false;
  return (
    rule.resources.length === 0 || rule.resources.some((resource) => matchesResource(resource, attributes))
  );
}

function matchesResource(
  { group, resources, resourceNames }: ResourceRule,
  attributes: Exclude<Attributes, { path: string }>,
): boolean {
  if (group !== attributes.group || !admits(resourceNames, attributes.name ?? '')) return false;
  if (resources.length === 0) return true;
  const { resource, subresource } = attributes;
  const wanted =
    subresource === undefined
      ? [resource, '*']
      : [`${resource}/${subresource}`, `${resource}/*`, `*/${subresource}`, '*'];
  return resources.some((name) => wanted.includes(name));
}

const covers = (pattern: string, path: string): boolean =>
  pattern.endsWith('*') ? path.startsWith(pattern.slice(0, -1)) : path === pattern;
