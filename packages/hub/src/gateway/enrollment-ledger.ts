import {
  type Clock,
  type EnrollmentToken,
  type EnrollmentTokenStatus,
  enrollmentTokens,
  isConflict,
  isNotFound,
  notFound,
  KeyedMutex,
  type ObjectClient,
  StatusError,
} from '@selvedge/api';

/** An agent that took a use of a token. Without `siteUid` the use is reserved, its key not yet bound. */
export type TokenUse = NonNullable<EnrollmentTokenStatus['used']>[number];
type Pending = NonNullable<EnrollmentTokenStatus['pending']>[number];

/** More would bloat the token; the oldest give way. */
const maxPending = 100;
const maxListedUses = 200;
const maxAttempts = 20;

/**
 * Who used a token and who waits for approval: `status` of the EnrollmentToken, changed by compare-and-set only, so that
 * no two agents get the same use, whichever process serves them.
 */
export class EnrollmentLedger {
  readonly #client: ObjectClient;
  readonly #clock: Clock;
  readonly #random: () => number;
  /** Agents that use one token at once would otherwise run into each other's writes. */
  readonly #mutex = new KeyedMutex();

  constructor(options: { client: ObjectClient; clock: Clock; random: () => number }) {
    this.#client = options.client;
    this.#clock = options.clock;
    this.#random = options.random;
  }

  /** Takes a use for the key. @param check judges the token as it is at that moment; throws to refuse. */
  reserve(token: EnrollmentToken, use: TokenUse, check: (token: EnrollmentToken) => void): Promise<void> {
    return this.#change(token, (present) => {
      if (findUse(present, use.keyFingerprint) !== undefined) return undefined;
      check(present);
      return {
        usedCount: countUses(present) + 1,
        used: withoutOldest([...usesOf(present), use]),
        pending: withoutKey(present, use.keyFingerprint),
      };
    });
  }

  /** Marks the use of the key as finished. A token that was deleted meanwhile needs no mark. */
  async confirm(token: EnrollmentToken, keyFingerprint: string, siteUid: string): Promise<void> {
    try {
      await this.#mark(token, keyFingerprint, siteUid);
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  #mark(token: EnrollmentToken, keyFingerprint: string, siteUid: string): Promise<void> {
    return this.#change(token, (present) => {
      const use = findUse(present, keyFingerprint);
      if (use === undefined || use.siteUid === siteUid) return undefined;
      return { used: usesOf(present).map((u) => (u === use ? { ...u, siteUid } : u)) };
    });
  }

  /** Gives an unfinished use back: the agent was refused. */
  release(token: EnrollmentToken, keyFingerprint: string): Promise<void> {
    return this.#change(token, (present) => {
      const use = findUse(present, keyFingerprint);
      if (use === undefined || use.siteUid !== undefined) return undefined;
      return { usedCount: countUses(present) - 1, used: usesOf(present).filter((u) => u !== use) };
    });
  }

  /** Lists an agent as waiting for approval. */
  addPending(token: EnrollmentToken, pending: Pending): Promise<void> {
    return this.#change(token, (present) => {
      const known = present.status?.pending ?? [];
      if (known.some((p) => p.keyFingerprint === pending.keyFingerprint)) return undefined;
      return { pending: [...known, pending].slice(-maxPending) };
    });
  }

  #change(
    { metadata: { name, uid } }: EnrollmentToken,
    change: (present: EnrollmentToken) => Partial<EnrollmentTokenStatus> | undefined,
  ): Promise<void> {
    return this.#mutex.run(name, async () => {
      for (let attempt = 1; attempt <= maxAttempts; attempt++) {
        const present = await this.#client.get<EnrollmentToken>(enrollmentTokens, { name });
        // The secret was checked against the one that was there before.
        if (present.metadata.uid !== uid) throw notFound(enrollmentTokens, name);
        const status = change(present);
        if (status === undefined || (await this.#write(present, status))) return;
        await this.#clock.sleep(this.#random() * 20 * attempt);
      }
      throw new StatusError('ServiceUnavailable', `enrolment token "${name}" is in much use: ask again`, {
        details: { retryAfterSeconds: 1 + Math.round(this.#random() * 40) / 10 },
      });
    });
  }

  /** Whether the token was still as read. */
  async #write(present: EnrollmentToken, status: Partial<EnrollmentTokenStatus>): Promise<boolean> {
    const { name, resourceVersion } = present.metadata;
    try {
      await this.#client.mergePatch(
        enrollmentTokens,
        { name },
        { metadata: { resourceVersion }, status },
        { subresource: 'status', fieldManager: 'selvedge-gateway' },
      );
      return true;
    } catch (error) {
      if (isConflict(error)) return false;
      throw error;
    }
  }
}

/** Also those that are no longer listed. */
export function countUses(token: EnrollmentToken): number {
  return token.status?.usedCount ?? usesOf(token).length;
}

/** The newest ones and those that are not finished. */
export function usesOf(token: EnrollmentToken): readonly TokenUse[] {
  return token.status?.used ?? [];
}

export function findUse(token: EnrollmentToken, keyFingerprint: string): TokenUse | undefined {
  return usesOf(token).find((use) => use.keyFingerprint === keyFingerprint);
}

/** A token of thousands of uses must not grow with each. Unfinished uses stay: their agents come back for them. */
function withoutOldest(uses: readonly TokenUse[]): TokenUse[] {
  let surplus = uses.length - maxListedUses;
  return uses.filter((use) => use.siteUid === undefined || surplus-- <= 0);
}

function withoutKey(token: EnrollmentToken, keyFingerprint: string): Pending[] {
  return (token.status?.pending ?? []).filter((p) => p.keyFingerprint !== keyFingerprint);
}
