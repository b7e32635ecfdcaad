import type { ApplyRules, KubeObject } from '@selvedge/api';
import type { DriftFinding } from '../drift/drift-check.ts';
import type { CompiledHealthRules } from '../health/health-rules.ts';
import type { ObjectRef, PlannedObject } from '../release/planned-object.ts';
import type { ObservedObject } from './observer.ts';
import type { KindWatch } from './kind-watch.ts';
import type { PodCounts } from './pod-counts.ts';

/** What is known of an item. */
export interface ItemState {
  readonly uid: string;
  readonly rules: ApplyRules;
  readonly health: Promise<CompiledHealthRules>;
  readonly planned: readonly PlannedObject[];
  readonly objects: readonly ObjectState[];
}

/** What is known of one object of an item. Times are of the clock, in milliseconds. */
export interface ObjectState {
  /** Of the item and the object: one that two items name is looked at for each. */
  readonly key: string;
  planned: PlannedObject;
  item: ItemState | undefined;
  /** As last looked at; undefined: never. */
  seen: SeenObject | undefined;
  /** Metadata that its watch told of; for the next look. */
  told: KubeObject | undefined;
  /** What was seen may be from before something was applied: it does not count until it was looked at again. */
  isStale: boolean;
  /** A list of its kind of this round, or of a later one, makes it known again. */
  round: number;
  /** The last list of its kind (`KindWatch.lists`) since which it was told of. */
  list: number;
  /** Grows with each cause to look again. A look that began before the last one does not make it known. */
  serial: number;
  /** When it is to be looked at without a cause; undefined: only its watch tells. */
  nextLook: number | undefined;
  lastLook: number;
  /** When its pods are to be looked at, while it is not as it should be. */
  nextPodLook: number | undefined;
  podLooks: number;
  /** Looks in a row that failed, and since when. */
  failures: number;
  failingSince: number | undefined;
  /** When what is known of it was last seen; of one that cannot be read, when that was last found to be so. */
  knownAt: number | undefined;
}

export interface SeenObject {
  readonly resourceVersion: string | undefined;
  readonly observed: ObservedObject;
  readonly pods: PodCounts;
  readonly drift: DriftFinding | undefined;
  /** Its watch tells of it: it has our label, or is not there. */
  readonly isSelected: boolean;
  /** Its watch does not tell all: its pods, or whether it has drifted, have to be looked at again. */
  readonly isOpen: boolean;
  /** Its pods were looked at. */
  readonly hasPodLook: boolean;
}

export function newObjectState(key: string, planned: PlannedObject): ObjectState {
  return {
    key,
    planned,
    item: undefined,
    seen: undefined,
    told: undefined,
    isStale: true,
    round: 0,
    list: 0,
    serial: 0,
    nextLook: undefined,
    lastLook: 0,
    nextPodLook: undefined,
    podLooks: 0,
    failures: 0,
    failingSince: undefined,
    knownAt: undefined,
  };
}

/** Until when what is known of an object held for sure (ms); undefined: it was never looked at. */
export function knownUntil(
  { seen, knownAt, failures, failingSince }: ObjectState,
  watch: Pick<KindWatch, 'state' | 'heard'> | undefined,
): number | undefined {
  const heardAt = watch?.heard?.getTime();
  const isWatched = watch?.state === 'Watching';
  if (isWatched && failures === 0) return heardAt;
  // Its watch told of a change that could not be read.
  const heldUntil = isWatched ? seen && failingSince : heardAt;
  const times = [knownAt, heldUntil].filter((time) => time !== undefined);
  return times.length === 0 ? undefined : Math.max(...times);
}

/** The watch of which kind tells of an object. */
export const kindOf = ({ apiVersion, kind }: { apiVersion: string; kind: string }): string =>
  `${apiVersion} ${kind}`;

export function absentObject(ref: ObjectRef, message: string): SeenObject {
  const health = { status: 'InProgress', reason: 'NotFound', message } as const;
  return { ...unknownObject, observed: { ref, exists: false, health, drift: [] } };
}

/** It may not be read; whether it is there is not known, so it counts as there. */
export function unreadableObject(
  ref: ObjectRef,
  reason: 'Forbidden' | 'Unreadable',
  why: string,
): SeenObject {
  const message = `${reason === 'Forbidden' ? 'it may not' : 'it cannot'} be read: ${why}`;
  const health = { status: 'InProgress', reason, message } as const;
  return { ...unknownObject, observed: { ref, exists: true, health, drift: [] } };
}

const unknownObject = {
  resourceVersion: undefined,
  pods: { wanted: 0, ready: 0 },
  drift: undefined,
  isSelected: true,
  isOpen: false,
  hasPodLook: false,
} as const;
