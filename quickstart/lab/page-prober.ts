import { setTimeout as sleep } from 'node:timers/promises';

export interface ProbedPage {
  readonly name: string;
  readonly pageUrl: string;
}

/** What one site's page did while it was watched. */
export interface ProbeRecord {
  site: string;
  requests: number;
  /** Requests without a good answer. */
  failures: { time: Date; why: string }[];
  /** When each edition was first seen. */
  firstSeen: Map<string, Date>;
}

/** Asks the pages of some sites again and again, and notes every request that was not answered well. */
export class PageProber {
  readonly #stop = new AbortController();
  readonly #records: ProbeRecord[] = [];
  readonly #loops: Promise<void>[] = [];

  constructor(sites: readonly ProbedPage[]) {
    for (const site of sites) {
      const record: ProbeRecord = { site: site.name, requests: 0, failures: [], firstSeen: new Map() };
      this.#records.push(record);
      this.#loops.push(this.#probe(site, record));
    }
  }

  async stop(): Promise<ProbeRecord[]> {
    this.#stop.abort();
    await Promise.all(this.#loops);
    return this.#records;
  }

  async #probe(site: ProbedPage, record: ProbeRecord): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const time = new Date();
      record.requests += 1;
      try {
        const answer = await fetch(`${site.pageUrl}/site.json`, {
          signal: AbortSignal.timeout(5000),
          headers: { connection: 'close' },
        });
        const { edition } = (await answer.json()) as { edition: string };
        if (!answer.ok) record.failures.push({ time, why: `HTTP ${answer.status}` });
        else if (!record.firstSeen.has(edition)) record.firstSeen.set(edition, time);
      } catch (error) {
        const cause = error instanceof Error ? (error.cause ?? error) : error;
        record.failures.push({ time, why: String(cause) });
      }
      await sleep(100, undefined, { signal: this.#stop.signal }).catch(() => undefined);
    }
  }
}

/** Throws when a page failed to answer while it was watched. */
export function assertAlwaysAnswered(records: readonly ProbeRecord[]): void {
  const bad = records.filter((record) => record.failures.length > 0);
  if (bad.length === 0) return;
  const list = bad.map(({ site, requests, failures }) => {
    const examples = failures.slice(0, 3).map(({ time, why }) => `${time.toISOString()} ${why}`);
    return `${site}: ${failures.length} of ${requests} requests without a good answer (${examples.join('; ')})`;
  });
  throw new Error(`pages did not answer throughout: ${list.join(', ')}`);
}
