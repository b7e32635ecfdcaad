import type { DesiredItem, DesiredState, NodeGroup, ReleaseName } from '@selvedge/api';

/** What an item runs at this site by its owner's decision: the driver is to keep it so. */
export interface ActiveRelease extends ReleaseName {
  /** Assignment that activated it, or under which it was last confirmed. */
  readonly epoch: number;
  readonly attempt: number;
  readonly deadlineSeconds: number;
  /** By the hub's clock; absent: it ran before this agent decided anything. */
  readonly activatedTime?: string;
  /** Was healthy here, now or earlier. */
  readonly isProven: boolean;
}

/** What was found out here about a release: it binds assignments of this digest up to that attempt. */
export interface Verdict extends ReleaseName {
  readonly attempt: number;
  readonly kind: 'Unhealthy' | 'RolledBackBySite';
  readonly reason: string;
  readonly message: string;
  readonly logs?: readonly string[];
  /** By the hub's clock. */
  readonly time: string;
  readonly activatedTime?: string;
}

/** What is remembered of an item across restarts; some hundred bytes. */
export interface ItemMemory {
  readonly active?: ActiveRelease;
  /** Releases that proved themselves here, the newest first; at most two. */
  readonly goods: readonly ReleaseName[];
  /** The newest first; at most `longestVerdicts`. */
  readonly verdicts: readonly Verdict[];
  /** Of the deadline after activation; only time in which the agent watched counts. */
  readonly activatingMs: number;
  /** The site's variables from before they changed while the item was on hold: it keeps them until the hold is over. */
  readonly variables?: DesiredState['variables'];
  /** The same for the labels of the Site. */
  readonly labels?: Readonly<Record<string, string>>;
  /** The same for the groups of the site's nodes. */
  readonly nodeGroups?: readonly NodeGroup[];
  /** Versions of Secrets from before they changed while the item was on hold, by name; their values are kept sealed, elsewhere. */
  readonly secrets?: Readonly<Record<string, string>>;
  /** Ids of RegistryCredentials that the active release was given: it keeps their logins. */
  readonly logins?: readonly string[];
  /** Time for preparing that this try has used up. */
  readonly preparing?: { readonly digest: string; readonly attempt: number; readonly spentMs: number };
}

export const emptyMemory: ItemMemory = { goods: [], verdicts: [], activatingMs: 0 };

const longestVerdicts = 6;

/** The verdict that forbids to try the item's release again. */
export function findBindingVerdict(memory: ItemMemory, target: DesiredItem): Verdict | undefined {
  return memory.verdicts.find(
    (verdict) => verdict.digest === target.digest && target.terms.attempt <= verdict.attempt,
  );
}

export function withVerdict(memory: ItemMemory, verdict: Verdict): ItemMemory {
  const others = memory.verdicts
    .filter(({ digest }) => digest !== verdict.digest)
    // Logs are the bulk of it, and of interest while it is new.
    .map(({ logs: _logs, ...rest }) => rest);
  return {
    ...memory,
    verdicts: [verdict, ...others].slice(0, longestVerdicts),
    goods: memory.goods.filter(({ digest }) => digest !== verdict.digest),
  };
}

/** The active release is healthy: whatever was said against it is over. */
export function withProvenActive(memory: ItemMemory, active: ActiveRelease): ItemMemory {
  const { release, digest } = active;
  const others = memory.goods.filter((good) => good.digest !== digest);
  return {
    ...memory,
    active: { ...active, isProven: true },
    goods: [{ release, digest }, ...others].slice(0, 2),
    verdicts: memory.verdicts.filter((verdict) => verdict.digest !== digest),
  };
}

/** Every digest whose content has to stay on this machine. */
export function neededDigests(memory: ItemMemory): string[] {
  return [memory.active, ...memory.goods].flatMap((release) => release?.digest ?? []);
}
