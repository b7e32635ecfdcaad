import { type KubeObject, StatusError } from '@selvedge/api';
import type { KubeApi } from '../api/kube-api.ts';
import { findCondition, groupKind, listAt, numberAt, textAt, valueAt } from '../health/read-fields.ts';
import type { PodProblem } from './observer.ts';
import { findPodFault, type PodFault } from './pod-problem.ts';

const maxLines = 20;
const maxLineLength = 500;
const maxMessageLength = 1000;
/** Pods of one workload that are looked at; a workload of thousands fails as its first ones do. */
const maxPods = 100;
const logIdleMs = 10_000;

/**
 * Why a workload is not as it should be, from its pods (of the newest version), their events and logs. What may not be read is left out.
 * Throws only when the API cannot be asked.
 */
export async function findProblem(
  api: KubeApi,
  workload: KubeObject,
  signal: AbortSignal,
): Promise<PodProblem | undefined> {
  const pods = await podsOf(api, workload, signal);
  const faults = pods
    .map((pod) => ({ pod, fault: findPodFault(pod) }))
    .filter((found): found is { pod: KubeObject; fault: PodFault } => found.fault !== undefined)
    .toSorted((a, b) => weight(b.fault) - weight(a.fault));
  const first = faults[0];
  if (first) return await problemOf(api, first, signal);
  return await creationProblem(api, { workload, pods: pods.length }, signal);
}

/** Runs for so long before a container that was restarted counts as recovered. */
const steadyMs = 30_000;

/** Whether a container of the workload was restarted and has run only for a moment since. */
export async function restartedLately(
  api: KubeApi,
  workload: KubeObject,
  { now, signal }: { now: Date; signal: AbortSignal },
): Promise<boolean> {
  const containers = (await podsOf(api, workload, signal)).flatMap((pod) =>
    listAt(pod, 'status.containerStatuses'),
  );
  return containers.some((status) => {
    const began = Date.parse(textAt(status, 'state.running.startedAt') ?? '');
    const age = now.getTime() - began;
    // Of a node whose clock is ahead nothing can be told.
    return (numberAt(status, 'restartCount') ?? 0) > 0 && age >= 0 && age < steadyMs;
  });
}

const weight = ({ isLasting, isVague }: PodFault): number => (isLasting ? 2 : 0) + (isVague ? 0 : 1);

async function problemOf(
  api: KubeApi,
  { pod, fault }: { pod: KubeObject; fault: PodFault },
  signal: AbortSignal,
): Promise<PodProblem> {
  const event = fault.isVague ? await lastWarning(api, pod, signal) : undefined;
  const lines = await lastLogLines(api, { pod, container: fault.container, signal });
  const reason = event?.reason ?? fault.reason;
  const message = event ? `${fault.message}: ${event.message}` : fault.message;
  return {
    reason,
    message: `pod ${pod.metadata.name}: ${message}`.slice(0, maxMessageLength),
    isLasting: fault.isLasting,
    ...(pod.metadata.creationTimestamp === undefined ? {} : { podSince: pod.metadata.creationTimestamp }),
    ...(lines.length === 0 ? {} : { logs: lines }),
  };
}

/** There are no pods, or too few: who makes them says why. */
async function creationProblem(
  api: KubeApi,
  { workload, pods }: { workload: KubeObject; pods: number },
  signal: AbortSignal,
): Promise<PodProblem | undefined> {
  const failure = findCondition(workload, 'ReplicaFailure');
  if (failure?.status === 'True') {
    return {
      reason: failure.reason ?? 'FailedCreate',
      message: (failure.message ?? 'pods cannot be made').slice(0, maxMessageLength),
      isLasting: false,
    };
  }
  if (pods > 0) return undefined;
  const event = await lastWarning(api, workload, signal);
  return event && { ...event, message: event.message.slice(0, maxMessageLength), isLasting: false };
}

/** Of the newest version. */
async function podsOf(api: KubeApi, workload: KubeObject, signal: AbortSignal): Promise<KubeObject[]> {
  const kind = groupKind(workload);
  if (kind === '/Pod') return [workload];
  if (kind !== 'apps/Deployment') return newestVersion(await ownPodsOf(api, workload, signal), workload);
  const pods = await listSelected(api, workload, { resource: 'pods', signal });
  const sets = await listSelected(api, workload, { resource: 'replicasets', signal });
  const own = sets.filter((set) => isOwnedBy(set, workload.metadata.uid));
  const newest = own.toSorted((a, b) => revisionOf(b) - revisionOf(a))[0];
  return newest ? pods.filter((pod) => isOwnedBy(pod, newest.metadata.uid)) : pods;
}

/** Pods (at most 100) that a workload itself made, of all versions. Throws only when the API cannot be asked. */
export async function ownPodsOf(
  api: KubeApi,
  workload: KubeObject,
  signal: AbortSignal,
): Promise<KubeObject[]> {
  const pods = await listSelected(api, workload, { resource: 'pods', signal });
  return pods.filter((pod) => isOwnedBy(pod, workload.metadata.uid));
}

async function listSelected(
  api: KubeApi,
  workload: KubeObject,
  { resource, signal }: { resource: 'pods' | 'replicasets'; signal: AbortSignal },
): Promise<KubeObject[]> {
  const { namespace } = workload.metadata;
  const labelSelector = selectorText(workload);
  if (namespace === undefined || labelSelector === undefined) return [];
  const base = resource === 'pods' ? '/api/v1' : '/apis/apps/v1';
  const list = await readable(() =>
    api.json<{ items?: KubeObject[] | null }>({
      method: 'GET',
      path: `${base}/namespaces/${encodeURIComponent(namespace)}/${resource}`,
      query: { labelSelector, limit: String(maxPods) },
      ...(resource === 'pods' ? {} : { accept: metadataOnly }),
      signal,
    }),
  );
  return list?.items ?? [];
}

const metadataOnly = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json';

const isOwnedBy = ({ metadata }: KubeObject, uid: string | undefined): boolean =>
  (metadata.ownerReferences ?? []).some((owner) => owner.uid === uid);

const revisionOf = ({ metadata }: KubeObject): number =>
  Number(metadata.annotations?.['deployment.kubernetes.io/revision'] ?? 0);

/** Pods of the version that is being rolled out; all, when there is none of it yet. */
function newestVersion(pods: readonly KubeObject[], workload: KubeObject): KubeObject[] {
  const revision = textAt(workload, 'status.updateRevision');
  const generation = workload.metadata.annotations?.['deprecated.daemonset.template.generation'];
  const newest = pods.filter(({ metadata: { labels } }) =>
    revision === undefined
      ? generation === undefined || labels?.['pod-template-generation'] === generation
      : labels?.['controller-revision-hash'] === revision,
  );
  const chosen = newest.length > 0 ? newest : pods;
  return chosen.toSorted((a, b) =>
    (b.metadata.creationTimestamp ?? '').localeCompare(a.metadata.creationTimestamp ?? ''),
  );
}

/** Undefined: it selects nothing. */
function selectorText(workload: KubeObject): string | undefined {
  // A ReplicationController has a plain map.
  const selector = valueAt(workload, 'spec.selector');
  const labels = workload.kind === 'ReplicationController' ? selector : valueAt(selector, 'matchLabels');
  const parts = Object.entries((labels ?? {}) as Record<string, string>).map(
    ([key, value]) => `${key}=${value}`,
  );
  for (const expression of listAt(selector, 'matchExpressions')) {
    const key = textAt(expression, 'key') ?? '';
    const values = listAt(expression, 'values').join(',');
    const operator = textAt(expression, 'operator');
    if (operator === 'In') parts.push(`${key} in (${values})`);
    else if (operator === 'NotIn') parts.push(`${key} notin (${values})`);
    else parts.push(operator === 'DoesNotExist' ? `!${key}` : key);
  }
  return parts.length === 0 ? undefined : parts.join(',');
}

/** The newest warning of an object's events, without those of the cluster's own setup. */
async function lastWarning(
  api: KubeApi,
  { metadata }: KubeObject,
  signal: AbortSignal,
): Promise<{ reason: string; message: string } | undefined> {
  if (metadata.namespace === undefined || metadata.uid === undefined) return undefined;
  const events = await readable(() =>
    api.json<{ items?: KubeObject[] }>({
      method: 'GET',
      path: `/api/v1/namespaces/${encodeURIComponent(metadata.namespace ?? '')}/events`,
      query: { fieldSelector: `involvedObject.uid=${metadata.uid},type=Warning`, limit: '50' },
      signal,
    }),
  );
  const time = (event: KubeObject): string =>
    textAt(event, 'lastTimestamp') ?? textAt(event, 'eventTime') ?? event.metadata.creationTimestamp ?? '';
  const newest = (events?.items ?? [])
    .filter((event) => textAt(event, 'reason') !== 'MissingClusterDNS')
    .toSorted((a, b) => time(b).localeCompare(time(a)))[0];
  const reason = textAt(newest, 'reason');
  return reason === undefined ? undefined : { reason, message: textAt(newest, 'message')?.trim() ?? reason };
}

async function lastLogLines(
  api: KubeApi,
  { pod, container, signal }: { pod: KubeObject; container: PodFault['container']; signal: AbortSignal },
): Promise<string[]> {
  if (!container || container.log === 'none') return [];
  const { namespace = '', name } = pod.metadata;
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(name)}/log`;
  const read = async (previous: boolean): Promise<string[]> => {
    const lines: string[] = [];
    const query = {
      container: container.name,
      tailLines: String(maxLines),
      limitBytes: String(maxLines * maxLineLength * 4),
      ...(previous ? { previous: 'true' } : {}),
    };
    for await (const line of api.lines({
      method: 'GET',
      path,
      query,
      accept: '*/*',
      idleMs: logIdleMs,
      signal,
    })) {
      lines.push(line.trimEnd().slice(0, maxLineLength));
    }
    return lines.filter((line) => line !== '').slice(-maxLines);
  };
  for (const previous of container.log === 'previous' ? [true, false] : [false]) {
    try {
      const lines = await read(previous);
      if (lines.length > 0) return lines;
    } catch {
      // The container is gone, its node is away, or logs may not be read: the reason is told without them.
    }
  }
  return [];
}

/** Undefined: it may not be read, or is not there. */
async function readable<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    const reason = error instanceof StatusError ? error.reason : undefined;
    if (reason === 'Forbidden' || reason === 'NotFound') return undefined;
    throw error;
  }
}
