import type { Workload } from './desired-app.ts';
import type { ObservedPod } from './observe.ts';
import type { RestartBackoff } from './restart-backoff.ts';

/** Without a readiness probe a container is ready the moment it starts, also one that ends at once. */
const unprovenMs = 3_000;
const restartedMs = 10_000;

/** How long a pod must have been ready before others are taken away for it. */
export function trialMs(
  pod: ObservedPod,
  { minReadySeconds, template }: Workload,
  backoff: Pick<RestartBackoff, 'restarts'>,
): number {
  const { containers } = template.spec;
  const restarts = Math.max(...containers.map((c) => backoff.restarts(`${pod.name}/${c.name}`)));
  const isProven = containers.every((container) => container.readinessProbe);
  const trial = restarts > (isProven ? 1 : 0) ? restartedMs : isProven ? 0 : unprovenMs;
  return Math.max(minReadySeconds * 1000, trial);
}
