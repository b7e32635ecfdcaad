import type { Clock, KubeObject, Logger } from '@selvedge/api';
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
}

/** Keys of the one piece of work of a kind that an item can have at a time. */
export const recoverTask = (uid: string): string => `recover:${uid}`;
export const loadTask = (uid: string): string => `load:${uid}`;
export const prepareTask = (uid: string): string => `prepare:${uid}`;
export const applyTask = (uid: string): string => `apply:${uid}`;
export const correctTask = (uid: string): string => `correct:${uid}`;
export const releasePodsTask = (uid: string): string => `release-pods:${uid}`;
export const tellTask = (uid: string): string => `tell:${uid}`;
export const removeTask = (uid: string): string => `remove:${uid}`;
