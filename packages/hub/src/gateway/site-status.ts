import { isDeepStrictEqual } from 'node:util';
import {
  type AgentInfo,
  type Clock,
  type Condition,
  isConflict,
  isNotFound,
  type Logger,
  type ObjectClient,
  type Site,
  StatusError,
  type SyncRequest,
  sites,
} from '@selvedge/api';
import type { SiteKey } from '@selvedge/store';
import type { EventRecorder } from '../controllers/event/event-recorder.ts';
import { withCondition } from '../rollout/conditions.ts';
import { SiteAllowance } from './site-allowance.ts';
import { type ContactState, contactFindings, isFault, keptInstances } from './contact-findings.ts';

type SiteStatus = NonNullable<Site['status']>;
type AgentStatus = NonNullable<SiteStatus['agent']>;
/** Merge patch of a status: `null` takes a field away. */
export type StatusPatch = { readonly [Field in keyof SiteStatus]?: unknown };

/** What a contact showed, as far as a person should see it on the Site. */
export interface ContactFacts extends Omit<ContactState, 'instance'> {
  readonly request: Pick<SyncRequest, 'agentTime' | 'agent' | 'refusal' | 'epoch' | 'stateDigest' | 'site'>;
  readonly key: SiteKey;
}

const maxAttempts = 5;
/** A clock that drifts less than this is not written again. */
const clockToleranceSeconds = 5;
/** A site may change what stands on its Site so often at once, and then every five seconds. */
const changesAtOnce = 30;
const changeSeconds = 5;

/** Writes what agents tell of themselves into the Site's status: only when it changed, so a quiet fleet writes nothing. */
export class SiteStatusWriter {
  readonly #client: ObjectClient;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #recorder: EventRecorder;
  readonly #instance: string;
  readonly #allowance: SiteAllowance;

  constructor(options: {
    client: ObjectClient;
    clock: Clock;
    logger: Logger;
    recorder: EventRecorder;
    instance: string;
  }) {
    this.#client = options.client;
    this.#clock = options.clock;
    this.#log = options.logger;
    this.#recorder = options.recorder;
    this.#instance = options.instance;
    const limits = { burst: changesAtOnce, perSecond: 1 / changeSeconds };
    this.#allowance = new SiteAllowance(options.clock, limits);
  }

  forget(site: string): void {
    this.#allowance.forget(site);
  }

  /**
   * What is not written now is seen again at the next contact; so this only throws when the site spoke of itself, which it does
   * not repeat once it was answered: `TooManyRequests` when it does so without a pause.
   */
  async observe(site: Site, facts: ContactFacts): Promise<void> {
    try {
      // Judged on the copy in memory first; read again only when there is something to write.
      if (this.#patchFor(site, facts) === undefined) return;
      if (this.#allowance.take(facts.key.site, 1) === 0) {
        const message = `the site changes what it says of itself too often: say it again in ${changeSeconds} s`;
        throw new StatusError('TooManyRequests', message, { details: { retryAfterSeconds: changeSeconds } });
      }
      await this.change(facts.key, (present) => this.#patchFor(present, facts));
    } catch (error) {
      if (isNotFound(error)) return;
      this.#log.warn('site status not written', { site: site.metadata.name, error });
      if (facts.request.site !== undefined) throw error;
    }
  }

  /**
   * Changes the status of the Site that the key speaks for, and records what became of its conditions.
   * @param patchFor is asked again when somebody else wrote in between; `undefined`: nothing to write.
   * @returns the Site as it is then; `undefined` when it is no longer there.
   */
  async change(
    key: Pick<SiteKey, 'site' | 'siteUid'>,
    patchFor: (present: Site) => StatusPatch | undefined,
  ): Promise<Site | undefined> {
    const name = key.site;
    for (let attempt = 1; ; attempt++) {
      const present = await this.#client.find<Site>(sites, { name });
      if (present === undefined || present.metadata.uid !== key.siteUid) return undefined;
      const status = patchFor(present);
      if (status === undefined) return present;
      const { resourceVersion } = present.metadata;
      try {
        const written = await this.#client.mergePatch<Site>(
          sites,
          { name },
          { metadata: { resourceVersion }, status },
          { subresource: 'status', fieldManager: 'selvedge-gateway' },
        );
        this.#recordFaults(present, written);
        return written;
      } catch (error) {
        if (!isConflict(error) || attempt === maxAttempts) throw error;
      }
    }
  }

  /** A fault that came, and one that went. */
  #recordFaults(before: Site, after: Site): void {
    const was = (condition: Condition) =>
      before.status?.conditions?.find((c) => c.type === condition.type) ?? undefined;
    for (const condition of after.status?.conditions ?? []) {
      if (!toldConditions.has(condition.type) || was(condition)?.status === condition.status) continue;
      const isBad = isFault(condition);
      if (!isBad && was(condition) === undefined) continue;
      this.#recorder.record(after, {
        type: isBad ? 'Warning' : 'Normal',
        reason: isBad ? condition.type : endedReason(condition),
        message: condition.message,
      });
    }
  }

  /** The merge patch of `status`, or `undefined` when the site says all of it already. */
  #patchFor(site: Site, facts: ContactFacts): StatusPatch | undefined {
    const now = this.#clock.now();
    const findings = contactFindings(site, { ...facts, instance: this.#instance });
    const present = site.status?.conditions ?? [];
    const conditions = findings.reduce<Condition[]>(
      (list, finding) => withCondition(list, finding, now.toISOString()),
      [...present],
    );
    const agent = agentPatch(site.status?.agent, facts, now);
    const patch: StatusPatch = {
      ...(agent ? { agent } : {}),
      ...sitePatch(site.status, facts.request.site),
      ...(isDeepStrictEqual(conditions, present) ? {} : { conditions }),
      ...(findings.some(isInStep) ? inStepPatch(site.status, now) : {}),
    };
    return Object.keys(patch).length === 0 ? undefined : patch;
  }
}

/** Conditions whose coming and going is an Event. */
const toldConditions: ReadonlySet<string> = new Set([
  'HubBehind',
  'TwoHubs',
  'RemovalRefused',
  'DesiredStateAccepted',
]);

/** What a person did has its own name. */
function endedReason({ type, reason }: Condition): string {
  return reason === 'Adopted' || reason === 'Overridden' ? reason : `${type}Ended`;
}

const isInStep = ({ type, status }: Pick<Condition, 'type' | 'status'>): boolean =>
  type === 'HubBehind' && status === 'False';

/** What was known of the other state, and a wish to be in step again, when that came true by itself or before a crash. */
function inStepPatch(present: SiteStatus | undefined, now: Date): StatusPatch {
  const { hubBehind, recovery } = present ?? {};
  const completed = { state: 'Done', completedTime: now.toISOString(), message: 'Site and hub are in step.' };
  return {
    ...(hubBehind === undefined ? {} : { hubBehind: null }),
    ...(recovery?.state === 'Requested' ? { recovery: completed } : {}),
  };
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
    set('sealingKey', agent.sealingKey);
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

/** What the site says of itself, where the Site does not say it already. */
function sitePatch(present: SiteStatus | undefined, report: SyncRequest['site']): StatusPatch {
  if (report === undefined) return {};
  const { holds, windows, hubInstances = [] } = report;
  const instances = hubInstances.length < 2 ? [] : keptInstances(present?.hubInstances, hubInstances);
  return {
    ...listPatch('holds', present?.holds, holds),
    ...(isSameWindows(present?.windows, windows)
      ? {}
      : { windows: { download: windowPatch(windows.download), activate: windowPatch(windows.activate) } }),
    ...listPatch('hubInstances', present?.hubInstances, instances),
  };
}

function listPatch(
  field: 'holds' | 'hubInstances',
  present: readonly unknown[] = [],
  told: readonly unknown[],
): StatusPatch {
  if (isDeepStrictEqual(present, told)) return {};
  return { [field]: told.length === 0 ? null : told };
}

type Windows = NonNullable<SyncRequest['site']>['windows'];

function isSameWindows(present: SiteStatus['windows'], told: Windows): boolean {
  const isSame = (kind: keyof Windows) =>
    present?.[kind].isOpen === told[kind].isOpen &&
    instant(present[kind].changesAt) === instant(told[kind].changesAt);
  return present !== undefined && isSame('download') && isSame('activate');
}

/** In one merge patch an absent field would stay. */
function windowPatch({ isOpen, changesAt }: Windows['download']): Record<string, unknown> {
  return { isOpen, changesAt: changesAt ?? null };
}

function instant(time: string | undefined): number | undefined {
  return time === undefined ? undefined : Date.parse(time);
}
