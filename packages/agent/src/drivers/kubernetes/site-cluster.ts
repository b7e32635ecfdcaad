import type { Clock, KubeObject, Logger } from '@selvedge/api';
import type { Depot } from '../../depot/depot.ts';
import type { FindSecrets } from '../find-secrets.ts';
import type { RecordFiles } from '../record-files.ts';
import type { TaskRunner } from '../task-runner.ts';
import type { Cluster } from './apply/cluster.ts';
import type { Observer } from './observe/observer.ts';
import type { ObjectRef } from './release/planned-object.ts';
import type { ItemRecord } from './state/item-record.ts';

/** What all items of a site share. */
export interface SiteCluster {
  readonly cluster: Cluster;
  readonly observer: Observer;
  readonly records: RecordFiles<ItemRecord>;
  readonly tasks: TaskRunner;
  readonly site: { readonly name: string; readonly uid: string };
  /** The agent's. */
  readonly namespace: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  /** Another application of this site that has, or is about to have, one of these objects. */
  findHolder(
    record: ItemRecord,
    refs: readonly ObjectRef[],
  ): { readonly id: string; readonly ref: ObjectRef } | undefined;
  /** Local content of a release that is not wanted any more. */
  findManifests(digest: string): Promise<readonly KubeObject[] | undefined>;
  readonly findSecrets: FindSecrets;
  /** Brought here before a release takes over; absent: the nodes fetch images themselves. */
  readonly depot?: Depot | undefined;
  /** Of the nodes, as OCI names them, as soon as these were read; empty: they cannot be read for now. */
  architectures(signal: AbortSignal): Promise<readonly string[]>;
  /** There is something new to look at, or to report. */
  wakeUp(): void;
}

/** Keys of the one piece of work of a kind that an item can have at a time. */
export const recoverTask = (uid: string): string => `recover:${uid}`;
export const loadTask = (uid: string): string => `load:${uid}`;
export const prepareTask = (uid: string): string => `prepare:${uid}`;
export const applyTask = (uid: string): string => `apply:${uid}`;
export const correctTask = (uid: string): string => `correct:${uid}`;
export const releasePodsTask = (uid: string): string => `release-pods:${uid}`;
export const imagesTask = (uid: string): string => `images:${uid}`;
export const pullTask = (uid: string): string => `pull:${uid}`;
export const tellTask = (uid: string): string => `tell:${uid}`;
export const removeTask = (uid: string): string => `remove:${uid}`;
