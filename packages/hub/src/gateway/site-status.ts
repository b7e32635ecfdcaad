import {
  type AgentInfo,
  type Clock,
  type Condition,
  isConflict,
  isNotFound,
  type Logger,
  type ObjectClient,
  type Site,
  type SyncRequest,
  sites,
} from '@selvedge/api';
import type { SiteKey } from '@selvedge/store';

type AgentStatus = NonNullable<NonNullable<Site['status']>['agent']>;
type ConditionFact = Pick<Condition, 'type' | 'status' | 'reason' | 'message'>;

/** What a contact showed, as far as a person should see it on the Site. */
export interface ContactFacts {
  readonly request: Pick<SyncRequest, 'agentTime' | 'agent' | 'refusal' | 'epoch'>;
  readonly key: SiteKey;
  /** Epoch at the hub. */
  readonly hubEpoch: number;
}

const maxAttempts = 5;
/** A clock that drifts less than this is not written again. */
const clockToleranceSeconds = 5;

/** Writes what agents tell of themselves into the Site's status: only when it changed, so a quiet fleet writes nothing. */
export class SiteStatusWriter {
  readonly #client: ObjectClient;
  readonly #clock: Clock;
  readonly #log: Logger;

  constructor(options: { client: ObjectClient; clock: Clock; logger: Logger }) {
    this.#client = options.client;
    this.#clock = options.clock;
    this.#log = options.logger;
  }

  /** Never throws: what is not written now is seen again at the next contact. */
  async observe(site: Site, facts: ContactFacts): Promise<void> {
    const name = site.metadata.name;
    try {
      // Judged on the copy in memory first; read again only when there is something to write.
      if (this.#patchFor(site, facts) === undefined) return;
      for (let attempt = 1; ; attempt++) {
        const present = await this.#client.find<Site>(sites, { name });
        if (present === undefined || present.metadata.uid !== facts.key.siteUid) return;
        const status = this.#patchFor(present, facts);
        if (status === undefined) return;
        const { resourceVersion } = present.metadata;
        try {
          await this.#client.mergePatch(
            sites,
            { name },
            { metadata: { resourceVersion }, status },
            { subresource: 'status', fieldManager: 'selvedge-gateway' },
          );
          return;
        } catch (error) {
          if (!isConflict(error) || attempt === maxAttempts) throw error;
        }
      }
    } catch (error) {
      if (!isNotFound(error)) this.#log.warn('site status not written', { site: name, error });
    }
  }

  /** The merge patch of `status`, or `undefined` when the site says all of it already. */
  #patchFor(site: Site, facts: ContactFacts): Record<string, unknown> | undefined {
    const now = this.#clock.now();
    const agent = agentPatch(site.status?.agent, facts, now);
    const conditions = withFacts(site.status?.conditions ?? [], conditionFacts(facts), now);
    if (agent === undefined && conditions === undefined) return undefined;
    return { ...(agent ? { agent } : {}), ...(conditions ? { conditions } : {}) };
  }
}

/** Status of the agent as a merge patch: `null` takes a field away. `undefined`: nothing to change. */
export function agentPatch(
  present: AgentStatus | undefined,
  facts: Pick<ContactFacts, 'key'> & { request: { agentTime?: string; agent?: AgentInfo } },
  now: Date,
): Record<string, unknown> | undefined {
  const { agent, agentTime } = facts.request;
  // Without a word of the agent about itself there is nothing to put a clock beside.
  if (agent === undefined && present === undefined) return undefined;
  const patch: Record<string, unknown> = {};
  const set = (field: keyof AgentStatus, value: string | undefined) => {
    if (present?.[field] !== value) patch[field] = value ?? null;
  };
  set('keyFingerprint', facts.key.fingerprint);
  set('enrolledTime', facts.key.enrolledAt);
  if (agent !== undefined) {
    set('version', agent.version);
    set('hostname', agent.hostname);
    set('os', agent.os);
    set('architecture', agent.architecture);
    set('runtime', agent.runtime);
  }
  if (agentTime !== undefined) {
    const offset = Math.round((Date.parse(agentTime) - now.getTime()) / 1000);
    const known = present?.clockOffsetSeconds;
    if (known === undefined || Math.abs(offset - known) > clockToleranceSeconds) {
      patch['clockOffsetSeconds'] = offset;
    }
  }
  return Object.keys(patch).length === 0 ? undefined : patch;
}

/** What holds now; a condition that was never needed is not made just to say that all is well. */
function conditionFacts({ request, hubEpoch }: ContactFacts): {
  facts: ConditionFact[];
  onlyIfPresent: ConditionFact[];
} {
  const facts: ConditionFact[] = [];
  const onlyIfPresent: ConditionFact[] = [];
  if (request.epoch > hubEpoch) {
    facts.push({
      type: 'HubBehind',
      status: 'True',
      reason: 'AgentHasNewerState',
      message: `The agent holds desired state of epoch ${request.epoch}, the hub only knows epoch ${hubEpoch}: was the hub restored from an old backup? The site goes on with what it has and is sent nothing until the hub's epoch is beyond ${request.epoch}.`,
    });
  } else {
    onlyIfPresent.push({
      type: 'HubBehind',
      status: 'False',
      reason: 'InStep',
      message: `The hub's epoch ${hubEpoch} is not behind the agent's.`,
    });
  }
  if (request.refusal !== undefined) {
    const { reason, message, epoch } = request.refusal;
    facts.push({
      type: 'DesiredStateAccepted',
      status: 'False',
      reason,
      message: `The agent refused the desired state of epoch ${epoch}: ${message}`,
    });
  } else {
    onlyIfPresent.push({
      type: 'DesiredStateAccepted',
      status: 'True',
      reason: 'Accepted',
      message: 'The agent accepts the desired state.',
    });
  }
  return { facts, onlyIfPresent };
}

/** The conditions with the facts in them; `undefined` when nothing changes. */
function withFacts(
  conditions: readonly Condition[],
  { facts, onlyIfPresent }: { facts: ConditionFact[]; onlyIfPresent: ConditionFact[] },
  now: Date,
): Condition[] | undefined {
  let result = [...conditions];
  let hasChanged = false;
  const isPresent = (fact: ConditionFact) => conditions.some((c) => c.type === fact.type);
  for (const fact of [...facts, ...onlyIfPresent.filter(isPresent)]) {
    const present = result.find((c) => c.type === fact.type);
    // A message that only moved on by a number is no transition.
    if (present?.status === fact.status && present.reason === fact.reason) continue;
    const lastTransitionTime =
      present?.status === fact.status ? present.lastTransitionTime : now.toISOString();
    result = [...result.filter((c) => c.type !== fact.type), { ...fact, lastTransitionTime }];
    hasChanged = true;
  }
  return hasChanged ? result : undefined;
}
