import { isDeepStrictEqual } from 'node:util';
import {
  type ClusterRole,
  clusterRoles,
  type Clock,
  isNotFound,
  type Logger,
  matchesLabelSelector,
  type ObjectClient,
  type PolicyRule,
} from '@selvedge/api';

export interface AggregationOptions {
  /** Of the server itself. */
  readonly client: ObjectClient;
  /** All ClusterRoles, as last seen. */
  readonly clusterRoles: () => ReadonlyMap<string, ClusterRole>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly closing: AbortSignal;
}

const fieldManager = 'clusterrole-aggregation-controller';
const pauseAfterErrorMs = 2_000;

/**
 * Writes the rules of the ClusterRoles that have an `aggregationRule`. Works on what it sees, and a change of its own is
 * seen too: when two hubs that do not see the same write against each other, both end at the same rules.
 */
export class RoleAggregation {
  readonly #options: AggregationOptions;
  #woken = Promise.withResolvers<void>();

  constructor(options: AggregationOptions) {
    this.#options = options;
    options.closing.addEventListener('abort', () => this.wake(), { once: true });
  }

  /** A ClusterRole has changed. */
  wake(): void {
    this.#woken.resolve();
  }

  /** Runs until the server closes. Never rejects. */
  async run(): Promise<void> {
    const { closing, clock, logger } = this.#options;
    while (!closing.aborted) {
      await this.#woken.promise;
      this.#woken = Promise.withResolvers();
      if (closing.aborted) return;
      try {
        await this.runOnce();
      } catch (error) {
        if (closing.aborted) return;
        logger.warn('the rules of aggregated ClusterRoles could not be written, trying again', { error });
        this.wake();
        await clock.sleep(pauseAfterErrorMs * (0.5 + Math.random()), closing);
      }
    }
  }

  /** Writes what is not as it should be. */
  async runOnce(): Promise<void> {
    const { client } = this.#options;
    const outdated = outdatedRoles(this.#options.clusterRoles());
    await Promise.all(
      [...outdated].map(async ([name, rules]) => {
        try {
          await client.mergePatch(clusterRoles, { name }, { rules }, { fieldManager });
        } catch (error) {
          if (!isNotFound(error)) throw error;
        }
      }),
    );
  }
}

/** Longer chains of aggregated roles are finished by the changes that the first pass makes. */
const maxLevels = 10;

/** The roles whose rules differ from those of the roles that they select, with what they should be. */
export function outdatedRoles(stored: ReadonlyMap<string, ClusterRole>): Map<string, PolicyRule[]> {
  const wanted = new Map(stored);
  const outdated = new Map<string, PolicyRule[]>();
  const aggregated = [...stored.values()].filter((role) => role.aggregationRule !== undefined);
  for (let level = 0; level < maxLevels; level++) {
    let isChanged = false;
    for (const role of aggregated) {
      const { name } = role.metadata;
      const rules = aggregatedRules(role, wanted);
      if (isDeepStrictEqual(wanted.get(name)?.rules ?? [], rules)) continue;
      wanted.set(name, { ...role, rules });
      outdated.set(name, rules);
      isChanged = true;
    }
    if (!isChanged) break;
  }
  for (const [name, rules] of outdated) {
    if (isDeepStrictEqual(stored.get(name)?.rules ?? [], rules)) outdated.delete(name);
  }
  return outdated;
}

function aggregatedRules(role: ClusterRole, all: ReadonlyMap<string, ClusterRole>): PolicyRule[] {
  const selectors = role.aggregationRule?.clusterRoleSelectors ?? [];
  const parts = [...all.values()]
    .filter(({ metadata: { name, labels } }) => {
      if (name === role.metadata.name) return false;
      return selectors.some((selector) => matchesLabelSelector(labels, selector));
    })
    .sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
  const rules = new Map<string, PolicyRule>();
  for (const part of parts) for (const rule of part.rules ?? []) rules.set(JSON.stringify(rule), rule);
  return [...rules.values()];
}
