import type { HubClock } from '../hub-connection/hub-clock.ts';
import type { ContentStore } from '../state/content-store.ts';
import type { UnnumberedReport } from '../state/report-book.ts';
import type { ContentTrouble } from './compose-report.ts';
import { secretsFor, secretTrouble } from './held-secrets.ts';
import type { ItemDecision } from './item-facts.ts';
import type { ItemLife } from './item-life.ts';
import { type ItemLogins, loginTrouble } from './item-logins.ts';
import type { ItemSecrets } from './item-secrets.ts';
import type { ItemName } from './memory-store.ts';

interface ReadinessOptions {
  readonly content: ContentStore;
  readonly secrets: ItemSecrets;
  readonly logins: ItemLogins;
  readonly clock: HubClock;
  readonly findReport: (item: ItemName) => UnnumberedReport | undefined;
  /** The hub was asked and does not answer. */
  readonly isHubLost: () => boolean;
}

/** Whether all that a release is made of is at this site (manifests, Secrets, logins for its images), and what people are told when it is not. */
export class ReleaseReadiness {
  readonly #o: ReadinessOptions;
  readonly #troubles = new Map<string, ContentTrouble>();

  constructor(options: ReadinessOptions) {
    this.#o = options;
  }

  contentArrived(digest: string): void {
    this.#troubles.delete(digest);
  }

  contentDelayed(digest: string, trouble: { reason: string; message: string }): void {
    const sinceTime = this.#troubles.get(digest)?.sinceTime ?? this.#o.clock.now().toISOString();
    this.#troubles.set(digest, { ...trouble, sinceTime });
  }

  /** The hub does not have the content any more. */
  isLost(digest: string): boolean {
    return !this.#o.content.has(digest) && this.#troubles.get(digest)?.reason === 'ContentMissing';
  }

  /** Everything is here, or, with logins, was waited for long enough. `target`: digest of what the item is to have. */
  isReady(life: ItemLife, digest: string, target: string | undefined): boolean {
    const { content, secrets } = this.#o;
    if (!content.has(digest) || secretsFor(life, digest, secrets).missing.length > 0) return false;
    return digest !== target || this.#awaitedLogins(life, digest).length === 0;
  }

  findTrouble(life: ItemLife, digest: string): ContentTrouble | undefined {
    const { secrets, content, clock, findReport } = this.#o;
    const known = this.#troubles.get(digest);
    if (known !== undefined || !content.has(digest)) return known;
    const now = clock.now();
    const last = findReport(life);
    const trouble = secretTrouble(life, digest, { secrets, last, now });
    if (trouble !== undefined) return trouble;
    const isSame = last?.digest === digest && last.reason === 'SecretMissing';
    const sinceTime = isSame ? last.sinceTime : now.toISOString();
    const awaited = this.#awaitedLogins(life, digest);
    return loginTrouble(awaited, { sinceTime, troubleOf: (id) => secrets.troubleOf(id) });
  }

  /** With the logins that what is active was given, and with a look again when those to come were waited for long enough. */
  withLogins(life: ItemLife, decided: ItemDecision, target: string | undefined): ItemDecision {
    const { logins } = this.#o;
    const memory = logins.withGiven(life.id, decided.memory, life.memory);
    const leftMs = logins.leftMs(target === undefined ? [] : this.#awaitedLogins(life, target));
    if (leftMs === Number.POSITIVE_INFINITY) return { ...decided, memory };
    return { ...decided, memory, wakeInMs: Math.min(leftMs, decided.wakeInMs ?? leftMs) };
  }

  /** What is prepared anew waits for its logins; what runs, ran or is prepared does not. */
  #awaitedLogins(life: ItemLife, digest: string): readonly string[] {
    const { active, goods } = life.memory;
    const isKnown = [active, ...goods].some((release) => release?.digest === digest);
    const { said } = life.driver;
    if (isKnown || (said?.digest === digest && said.state === 'Prepared')) return [];
    return this.#o.logins.awaited(life.id, { isInContact: !this.#o.isHubLost() });
  }
}
