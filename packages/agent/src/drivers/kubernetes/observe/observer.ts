import type { ApplyRules } from '@selvedge/api';
import type { ObjectHealth } from '../health/object-health.ts';
import type { ObjectRef, PlannedObject } from '../release/planned-object.ts';

/** The objects of the release that is in force for one item. */
export interface TrackedItem {
  readonly uid: string;
  /** Namespace of the application. */
  readonly namespace: string;
  readonly objects: readonly PlannedObject[];
  readonly rules: ApplyRules;
}

export interface ObservedObject {
  readonly ref: ObjectRef;
  /** False: not there (any more). */
  readonly exists: boolean;
  /** Of what is there. */
  readonly health: ObjectHealth;
  /** Fields (JSON pointers) that are not as planned, beyond what is to be ignored and what autoscalers own. Empty: none. */
  readonly drift: readonly string[];
  /** What keeps its pods from being ready, with the last lines of the container at fault. */
  readonly problem?: PodProblem;
  /** A Job, or a pod that is not started again, which has done its work. */
  readonly isDone?: true;
}

export interface PodProblem {
  /** CrashLoopBackOff, ImagePullBackOff, Unschedulable, … */
  readonly reason: string;
  readonly message: string;
  /** At most 20 lines of 500 characters. */
  readonly logs?: readonly string[];
  /** It does not go away by itself (a wrong image name, a crash loop), as against what may (no node fits just now). */
  readonly isLasting: boolean;
  /** RFC 3339, of the pod: when it was made. */
  readonly podSince?: string;
}

export interface ItemObservation {
  /** One for each tracked object, in their order. */
  readonly objects: readonly ObservedObject[];
  /** Of its workloads. */
  readonly pods: { readonly wanted: number; readonly ready: number };
}

/**
 * Knows how the objects of the items in force stand, from one metadata watch for each kind in use; reads an object only when its watch says that it changed.
 * Level-based: the last call of `track` is the whole truth.
 */
export interface Observer {
  track(items: readonly TrackedItem[]): void;
  /** Undefined until every object of the item, as tracked last, was looked at. */
  find(uid: string): ItemObservation | undefined;
  /** What was just applied has to be read again before `find` answers for it. */
  invalidate(uid: string): void;
  /** With the uid of the item whose observation changed. */
  onChange(listener: (uid: string) => void): void;
  /**
   * When all that `find` tells was last known to hold, by the machine's clock; undefined while the API cannot be asked, or when an object
   * was never looked at. One that cannot be read is soon told as `Unreadable`, and counts as known then: it stops no other item's time.
   */
  lastLook(): Date | undefined;
  /** Until the signal fires; never rejects. */
  run(signal: AbortSignal): Promise<void>;
}
