import type { Clock, Logger } from '@selvedge/api';
import type { ImageStore } from './images.ts';
import type { LibpodClient } from './libpod-client.ts';
import type { ObservedPod } from './observe.ts';
import type { PodmanNames, SiteIdentity } from './ownership.ts';
import type { PodExecutor } from './pod-executor.ts';
import type { Prober } from './probes/prober.ts';
import type { ReleaseLibraryOptions } from './release-library.ts';
import type { RestartBackoff } from './restart-backoff.ts';
import type { ServicePods } from './services/service-pods.ts';
import type { TaskRunner } from '../task-runner.ts';

/** What all items of a site share. */
export interface SiteRuntime extends ReleaseLibraryOptions {
  readonly client: LibpodClient;
  readonly names: PodmanNames;
  readonly site: SiteIdentity;
  readonly images: ImageStore;
  readonly executor: PodExecutor;
  readonly services: ServicePods;
  readonly prober: Prober;
  readonly backoff: RestartBackoff;
  readonly tasks: TaskRunner;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  /** Takes a pod out of traffic and removes it. */
  readonly retirePod: (pod: ObservedPod) => Promise<void>;
  readonly isLeaving: (podName: string) => boolean;
  /** There is something new to look at, or to report. */
  readonly wakeUp: () => void;
  /** Grows when images of this machine were removed or renamed. */
  readonly imageChanges: () => number;
}

/** The site as it was seen at one instant. */
export interface SiteView {
  readonly now: number;
  readonly pods: readonly ObservedPod[];
  /** Address of each running pod, by the id of its own container. */
  readonly addresses: ReadonlyMap<string, string>;
}

/** Key of the one piece of work that a pod can have at a time. */
export const podTask = (podName: string): string => `pod:${podName}`;
export const serviceTask = (serviceKey: string): string => `service:${serviceKey}`;
export const prepareTask = (itemUid: string): string => `prepare:${itemUid}`;
