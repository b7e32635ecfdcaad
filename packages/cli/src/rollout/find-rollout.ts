import { type Application, applications, isStatusError, type Rollout, rollouts } from '@selvedge/api';
import type { HttpClient } from '@selvedge/kube';
import { CommandError, UsageError } from '../program/exit-code.ts';
import { nearNames } from '../why/near-names.ts';

export interface RolloutTarget {
  /** Of an Application or of a Rollout; `application/NAME`, `rollout/NAME` where both exist. */
  readonly name: string;
  readonly namespace: string;
}

/** n of `<application>-<n>`. */
export function rolloutNumber({ metadata }: Rollout): number {
  return Number(metadata.name.slice(metadata.name.lastIndexOf('-') + 1)) || 0;
}

export function newestFirst(list: readonly Rollout[]): Rollout[] {
  return list.toSorted((a, b) => rolloutNumber(b) - rolloutNumber(a));
}

/** Those of one application, newest first. Needs no right to read Applications. */
export async function rolloutsOf(
  client: HttpClient,
  namespace: string,
  application: string,
): Promise<Rollout[]> {
  const { items } = await client.list<Rollout>(rollouts, { namespace });
  return newestFirst(items.filter((rollout) => rollout.spec.application === application));
}

/** The rollout that is meant: the newest of an application, or the one with the name. Throws CommandError, UsageError. */
export async function getRollout(client: HttpClient, { name, namespace }: RolloutTarget): Promise<Rollout> {
  const [, kind, bare = name] = /^(application|app|rollout|ro)\/(.+)$/.exec(name) ?? [];
  const [newest] = kind?.startsWith('ro') ? [] : await rolloutsOf(client, namespace, bare);
  const named = kind?.startsWith('app')
    ? undefined
    : await client.find<Rollout>(rollouts, { namespace, name: bare });
  if (newest !== undefined && named !== undefined) {
    throw new UsageError(
      `${bare} is the name of an application and of a rollout: write application/${bare} or rollout/${bare}`,
    );
  }
  return newest ?? named ?? (await nothingFound(client, { name: bare, namespace }));
}

async function nothingFound(client: HttpClient, { name, namespace }: RolloutTarget): Promise<never> {
  const application = await ifAllowed(client.find<Application>(applications, { namespace, name }));
  if (application !== undefined) {
    throw new CommandError(
      `application ${name} in namespace ${namespace} has no rollout yet`,
      `kubectl describe application ${name} -n ${namespace} says why.`,
    );
  }
  const { items } = await client.list<Rollout>(rollouts, { namespace });
  const known = [...new Set(items.map((rollout) => rollout.spec.application))];
  const everywhere = (await ifAllowed(client.list<Rollout>(rollouts)))?.items ?? [];
  const elsewhere = everywhere.find((r) => r.spec.application === name || r.metadata.name === name)?.metadata
    .namespace;
  const near = nearNames(name, known);
  throw new CommandError(
    `there is no application or rollout ${name} in namespace ${namespace}`,
    elsewhere !== undefined
      ? `There is one in namespace ${elsewhere}: -n ${elsewhere}`
      : near.length > 0
        ? `Did you mean ${near.join(' or ')}?`
        : 'selvedge rollout list shows all.',
  );
}

/** Whoever may only look at the rollouts of one namespace need not see more. */
async function ifAllowed<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (isStatusError(error, 'Forbidden')) return undefined;
    throw error;
  }
}
