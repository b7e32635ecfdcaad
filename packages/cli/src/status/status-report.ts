import { type CountedMachine, countMachines, type MachineCounts, machineProblems } from './machine-counts.ts';
import type {
  Application,
  Condition,
  Rollout,
  RolloutPhase,
  Site,
  SiteConnectivity,
  SiteCounts,
} from '@selvedge/api';

export interface SiteRow {
  readonly name: string;
  readonly connectivity: SiteConnectivity | 'Unknown';
  readonly lastSeenTime?: string;
  readonly applications?: { wanted: number; running: number; progressing: number; failed: number };
  readonly agentVersion?: string;
}

export interface ApplicationRow {
  readonly namespace: string;
  readonly name: string;
  readonly release?: string;
  readonly sites?: SiteCounts;
  readonly rollout?: { readonly name: string; readonly phase?: RolloutPhase };
  /** What it waits for, or what is wrong with it. */
  readonly message: string;
}

export interface Problem {
  readonly severity: 'error' | 'warning';
  /** What it is about: `site shop-2`, `application shop/till`. */
  readonly about: string;
  readonly message: string;
  /** Command that tells more or mends it. */
  readonly command: string;
}

/** The fleet at a glance. `problems` come first for people; sites and applications are in the order of their names. */
export interface StatusReport {
  readonly observedTime: string;
  readonly problems: Problem[];
  /** Problems beyond those in `problems`. */
  readonly moreProblems: number;
  readonly sites: SiteRow[];
  readonly applications: ApplicationRow[];
  /** Absent: there are none, or this user may not see them. */
  readonly machines?: MachineCounts;
}

export interface StatusInput {
  readonly now: Date;
  readonly sites: readonly Site[];
  readonly applications: readonly Application[];
  readonly rollouts: readonly Rollout[];
  readonly machines?: readonly CountedMachine[];
}

const problemsShown = 12;

export function buildStatusReport(input: StatusInput): StatusReport {
  const rolloutOf = newestRollouts(input.rollouts);
  const problems = [
    ...input.applications.flatMap((application) => applicationProblems(application, rolloutOf(application))),
    ...input.sites.flatMap(siteProblems),
    ...(input.machines ?? []).flatMap(machineProblems),
  ].sort((a, b) => Number(b.severity === 'error') - Number(a.severity === 'error'));
  return {
    observedTime: input.now.toISOString(),
    problems: problems.slice(0, problemsShown),
    moreProblems: Math.max(0, problems.length - problemsShown),
    sites: input.sites.map(siteRow).sort((a, b) => compare(a.name, b.name)),
    applications: input.applications
      .map((application) => applicationRow(application, rolloutOf(application)))
      .sort((a, b) => compare(a.namespace, b.namespace) || compare(a.name, b.name)),
    ...(input.machines?.length ? { machines: countMachines(input.machines) } : {}),
  };
}

/** Something failed. Away sites and rollouts on their way are no trouble. */
export function isInTrouble(report: StatusReport): boolean {
  return report.problems.some((problem) => problem.severity === 'error');
}

/** Conditions of a Site that tell of a fault when they have this status. A revoked key was somebody's wish. */
const siteFaults: Readonly<Record<string, { status: Condition['status']; severity: Problem['severity'] }>> = {
  TwoHubs: { status: 'True', severity: 'error' },
  HubBehind: { status: 'True', severity: 'error' },
  RemovalRefused: { status: 'True', severity: 'error' },
  DesiredStateAccepted: { status: 'False', severity: 'error' },
  KeyRevoked: { status: 'True', severity: 'warning' },
};

/** Conditions of a Site that tell of a fault now. */
export function faultyConditions(site: Site): Condition[] {
  return (site.status?.conditions ?? []).filter((c) => siteFaults[c.type]?.status === c.status);
}

function siteRow(site: Site): SiteRow {
  const { status } = site;
  return {
    name: site.metadata.name,
    connectivity: status?.connectivity ?? 'Unknown',
    ...(status?.lastSeenTime === undefined ? {} : { lastSeenTime: status.lastSeenTime }),
    ...(status?.applications === undefined ? {} : { applications: status.applications }),
    ...(status?.agent === undefined ? {} : { agentVersion: status.agent.version }),
  };
}

function siteProblems(site: Site): Problem[] {
  const name = site.metadata.name;
  const about = `site ${name}`;
  const command = `selvedge site show ${name}`;
  const faults = faultyConditions(site).map(
    (condition): Problem => ({
      severity: siteFaults[condition.type]?.severity ?? 'error',
      about,
      message: condition.message,
      command,
    }),
  );
  const drifted = site.status?.applications?.drifted ?? 0;
  if (drifted > 0) {
    const what = drifted === 1 ? '1 application is' : `${drifted} applications are`;
    const message = `${what} not as the release says: others changed something, which is not put back`;
    faults.push({ severity: 'warning', about, message, command });
  }
  if (site.status?.connectivity !== 'Overdue') return faults;
  const expected = site.spec?.connectivity?.expected ?? '24h';
  const message = `silent for longer than the ${expected} that spec.connectivity.expected allows`;
  return [...faults, { severity: 'error', about, message, command }];
}

function applicationRow(application: Application, rollout: Rollout | undefined): ApplicationRow {
  const { status } = application;
  const sites = status?.sites ?? rollout?.status?.sites;
  const phase = rollout?.status?.phase;
  return {
    namespace: namespaceOf(application),
    name: application.metadata.name,
    ...(status?.release === undefined ? {} : { release: status.release }),
    ...(sites === undefined ? {} : { sites }),
    ...(rollout === undefined
      ? {}
      : { rollout: { name: rollout.metadata.name, ...(phase === undefined ? {} : { phase }) } }),
    message: applicationFault(application)?.message ?? rollout?.status?.message ?? waitsForHub(application),
  };
}

function waitsForHub(application: Application): string {
  return application.status?.release === undefined ? 'the hub has made no release of it yet' : '';
}

function applicationProblems(application: Application, rollout: Rollout | undefined): Problem[] {
  const namespace = namespaceOf(application);
  const name = application.metadata.name;
  const about = `application ${namespace}/${name}`;
  const fault = applicationFault(application);
  const problems: Problem[] = [];
  if (fault !== undefined) {
    const command = `kubectl describe application ${name} -n ${namespace}`;
    problems.push({ severity: 'error', about, message: fault.message, command });
  }
  const source = sourceFault(application);
  if (source !== undefined) {
    const message = `nothing new comes from its source: ${source.reason}: ${source.message}`;
    problems.push({
      severity: 'warning',
      about,
      message,
      command: `selvedge app show ${name} -n ${namespace}`,
    });
  }
  for (const failure of rollout?.status?.failures ?? []) {
    problems.push({
      severity: 'error',
      about: `${about} at ${failure.site}`,
      message: `${failure.reason}: ${failure.message}`,
      command: `selvedge why ${failure.site} ${name} -n ${namespace}`,
    });
  }
  const held = application.status?.heldRemoval;
  if (held !== undefined) {
    const command = `selvedge removal show ${name} -n ${namespace}`;
    problems.push({ severity: 'warning', about, message: `a removal is held: ${held.message}`, command });
  }
  return [...problems, ...rolloutProblems(rollout, about)];
}

/** A rollout that waits for a person, or took its release back. */
function rolloutProblems(rollout: Rollout | undefined, about: string): Problem[] {
  const { phase, waves = [], message = '' } = rollout?.status ?? {};
  if (rollout === undefined) return [];
  const { name, namespace = '' } = rollout.metadata;
  const command = `selvedge rollout status ${name} -n ${namespace}`;
  switch (phase) {
    case 'Reverting':
    case 'Reverted':
    case 'Blocked': {
      const what =
        phase === 'Blocked'
          ? 'is not offered'
          : phase === 'Reverted'
            ? 'was taken back'
            : 'is being taken back';
      return [
        { severity: 'error', about, message: `release ${rollout.spec.release} ${what}: ${message}`, command },
      ];
    }
    case 'Paused':
    case 'Aborted':
      return [
        { severity: 'warning', about, message: `the rollout stands still: ${message || phase}`, command },
      ];
    default: {
      const waiting = waves.find((wave) => wave.phase === 'AwaitingApproval');
      if (waiting === undefined) return [];
      const promote = `selvedge rollout promote ${name} -n ${namespace}`;
      return [
        { severity: 'warning', about, message: `wave ${waiting.name} waits for approval`, command: promote },
      ];
    }
  }
}

/** A condition with which no release is made or no rollout begins. */
export function applicationFault(application: Application): Condition | undefined {
  return application.status?.conditions?.find((c) => c.type === 'Released' && c.status === 'False');
}

/** A source that cannot be read, or gives nothing: what went out last stays. */
export function sourceFault(application: Application): Condition | undefined {
  return application.status?.conditions?.find((c) => c.type === 'SourceReady' && c.status === 'False');
}

/** The rollout that the application names, else its newest. */
function newestRollouts(rollouts: readonly Rollout[]): (application: Application) => Rollout | undefined {
  const byApplication = Map.groupBy(rollouts, (r) => `${namespaceOf(r)}/${r.spec.application}`);
  return (application) => {
    const own = byApplication.get(`${namespaceOf(application)}/${application.metadata.name}`) ?? [];
    const named = own.find((r) => r.metadata.name === application.status?.rollout);
    return named ?? own.toSorted((a, b) => createdAt(b) - createdAt(a))[0];
  };
}

function createdAt(rollout: Rollout): number {
  return Date.parse(rollout.metadata.creationTimestamp ?? '') || 0;
}

function namespaceOf(object: { metadata: { namespace?: string } }): string {
  return object.metadata.namespace ?? '';
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
