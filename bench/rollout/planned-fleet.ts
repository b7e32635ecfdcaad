import { defaultItemTerms, type ItemReport, type RolloutStatus, type RolloutStrategy } from '@selvedge/api';
import { planRollout, type RolloutInput, type RolloutPlan, type SiteFacts } from '@selvedge/hub';
import type { DeliveryRow } from '@selvedge/store';

const applicationUid = 'c0ffee00-0000-4000-8000-000000000000';
const before = { release: 'till-0a1b2c3d4e', digest: `sha256:${'1'.repeat(64)}` };
const next = { release: 'till-5f6a7b8c9d', digest: `sha256:${'2'.repeat(64)}` };
const start = Date.parse('2026-06-01T08:00:00Z');

type Answer = Pick<ItemReport, 'state'> & Partial<ItemReport>;

/**
 * A fleet as the engine sees it, in the middle of a rollout: every site in touch runs the release before, the new one goes
 * out. Plans are carried out as the controller does.
 */
export class PlannedFleet {
  now = start;
  readonly #strategy: RolloutStrategy;
  readonly #sites = new Map<string, SiteFacts>();
  readonly #rows = new Map<string, DeliveryRow>();
  readonly #members = new Map<string, string>();
  #status: RolloutStatus | undefined;
  #isCondemned = false;
  #revision = 1;

  /** @param awayEvery every so many sites is silent. */
  constructor(strategy: RolloutStrategy, { sites, awayEvery }: { sites: number; awayEvery: number }) {
    this.#strategy = strategy;
    for (let i = 0; i < sites; i++) this.#addSite(`shop-${String(i).padStart(6, '0')}`, i % awayEvery !== 0);
  }

  /** As the controller gathers it each time: sites and rows are objects of their own. */
  input(): RolloutInput {
    return {
      rollout: 'till-2',
      number: 2,
      created: start,
      applicationUid,
      release: {
        ...next,
        isCondemned: this.#isCondemned,
        isApproved: false,
        number: 2,
        variables: ['currency'],
        nodeGroups: [],
      },
      others: [{ ...before, isCondemned: false, isApproved: true, number: 1 }],
      strategy: this.#strategy,
      control: { isPaused: false, approvedWaves: new Set<string>(), waivedWaves: new Set<string>() },
      seed: applicationUid,
      sites: [...this.#sites.values()].map((site) => ({ ...site })),
      members: new Map(this.#members),
      rows: new Map([...this.#rows].map(([site, row]) => [site, { ...row }])),
      status: structuredClone(this.#status),
      now: this.now,
    };
  }

  /** Plans and carries out, until nothing is left to do at this moment. */
  settle(): void {
    for (let round = 0; round < 10; round++) {
      const plan = planRollout(this.input());
      this.#carryOut(plan);
      if (plan.join.length + plan.assign.length === 0) return;
    }
    throw new Error('the engine does not come to rest');
  }

  /** Sites in touch say this of what they were given; of every so many of them, in order of names. */
  answer(said: Answer, every = 1): void {
    let count = 0;
    for (const [site, row] of this.#rows) {
      if (row.digest !== next.digest || this.#sites.get(site)?.connectedSince === undefined) continue;
      if (count++ % every === 0) this.#rows.set(site, { ...row, report: this.#reportOf(row, said) });
    }
  }

  /** Every so many of the sites in touch that were told to go back say that they did. */
  answerGoingBack(every: number): void {
    let count = 0;
    for (const [site, row] of this.#rows) {
      const isToldNow = row.digest === before.digest && row.rollout === 'till-2';
      if (!isToldNow || this.#sites.get(site)?.connectedSince === undefined) continue;
      if (count++ % every === 0)
        this.#rows.set(site, { ...row, report: this.#reportOf(row, { state: 'Running' }) });
    }
  }

  /** Time passes, and everybody in touch stays so. */
  pass(milliseconds: number): void {
    this.now += milliseconds;
    for (const [name, site] of this.#sites) {
      if (site.connectedSince !== undefined) this.#sites.set(name, { ...site, lastSeen: this.now });
    }
    for (const [site, row] of this.#rows) {
      const { report } = row;
      if (report === undefined || this.#sites.get(site)?.connectedSince === undefined) continue;
      this.#rows.set(site, { ...row, report: { ...report, observedTime: this.#time() } });
    }
  }

  get phase(): RolloutStatus['phase'] {
    return this.#status?.phase;
  }

  wavePhase(name: string): string | undefined {
    return this.#status?.waves?.find((wave) => wave.name === name)?.phase;
  }

  #addSite(name: string, isInTouch: boolean): void {
    const day = 86_400_000;
    this.#sites.set(name, {
      name,
      labels: { tier: 'store', region: `r${this.#sites.size % 16}` },
      ...(isInTouch ? { connectedSince: start - day, lastSeen: start } : { lastSeen: start - day }),
      isOverdue: !isInTouch && this.#sites.size % 3 === 0,
      variables: new Set(['currency', 'till.count']),
      nodeGroups: new Set(),
    });
    const row = this.#rowOf(name, { ...before, terms: defaultItemTerms, rollout: 'till-1', wave: 'all' });
    this.#rows.set(name, {
      ...row,
      assignedAt: new Date(start - 2 * day).toISOString(),
      report: this.#reportOf(row, { state: 'Running' }),
    });
  }

  #carryOut(plan: RolloutPlan): void {
    this.#status = plan.status;
    if (plan.verdict?.kind === 'Condemned') this.#isCondemned = true;
    for (const { site, wave } of plan.join) this.#members.set(site, wave);
    for (const { site, release, digest, terms, wave } of plan.assign) {
      const report = this.#rows.get(site)?.report;
      const row = this.#rowOf(site, { release, digest, terms, rollout: 'till-2', wave });
      this.#rows.set(site, { ...row, ...(report === undefined ? {} : { report }) });
    }
  }

  #rowOf(
    site: string,
    order: Pick<DeliveryRow, 'release' | 'digest' | 'terms' | 'rollout' | 'wave'>,
  ): DeliveryRow {
    this.#revision += 1;
    return {
      site,
      namespace: 'shop',
      application: 'till',
      applicationUid,
      phase: 'Wanted',
      epoch: this.#revision,
      assignedAt: this.#time(),
      deadlineSeconds: 600,
      removal: 'Delete',
      revision: this.#revision,
      createRevision: 1,
      deleted: false,
      ...order,
    };
  }

  #reportOf(row: DeliveryRow, said: Answer): NonNullable<DeliveryRow['report']> {
    const time = this.#time();
    return {
      id: 'Application/shop/till',
      uid: applicationUid,
      epoch: row.epoch,
      release: row.release,
      digest: row.digest,
      runningDigest: row.digest,
      activatedTime: time,
      pods: { wanted: 3, ready: 3 },
      sinceTime: time,
      observedTime: time,
      receivedAt: time,
      seq: this.#revision,
      ...said,
    };
  }

  #time(): string {
    return new Date(this.now).toISOString();
  }
}
