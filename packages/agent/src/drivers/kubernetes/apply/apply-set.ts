import { createHash } from 'node:crypto';
import type { KubeObject } from '@selvedge/api';
import { shortenedName } from '@selvedge/api/node';
import { applicationOf } from '../../resolve-for-site.ts';
import { partOfLabel } from '../release/plan-release.ts';
import { groupOf } from '../release/apply-phase.ts';
import type { ObjectRef } from '../release/planned-object.ts';

const names = {
  id: 'applyset.kubernetes.io/id',
  tooling: 'applyset.kubernetes.io/tooling',
  groupKinds: 'applyset.kubernetes.io/contains-group-kinds',
  namespaces: 'applyset.kubernetes.io/additional-namespaces',
  uid: 'selvedge.dev/uid',
  siteUid: 'selvedge.dev/site-uid',
  release: 'selvedge.dev/release',
  digest: 'selvedge.dev/digest',
  activatedTime: 'selvedge.dev/activated-time',
  succeeded: 'selvedge.dev/succeeded',
  application: 'selvedge.dev/application-id',
} as const;
const tooling = 'selvedge/v0.1.0';
const longestName = 253;

/**
 * The ApplySet (KEP-3659) of one application: a ConfigMap in the agent's namespace by which every tool can tell what belongs together, and
 * from which an agent that lost its disk learns what is here.
 */
export interface ApplySet {
  readonly name: string;
  readonly namespace: string;
  /** Value of the label `applyset.kubernetes.io/part-of` of its members. */
  readonly id: string;
}

/** What an ApplySet's parent says. */
export interface ApplySetMemory {
  /** Of the Application. */
  readonly uid: string;
  readonly siteUid: string;
  readonly release: string;
  readonly digest: string;
  readonly activatedTime: string | undefined;
  /** Key (`releaseKey`) of the last release that was whole and healthy here. */
  readonly succeeded: string | undefined;
  /** `Kind.group`, or `Kind`. */
  readonly groupKinds: readonly string[];
  readonly namespaces: readonly string[];
}

export function applySetOf(itemId: string, agentNamespace: string): ApplySet {
  const application = applicationOf(itemId);
  const name = shortenedName(`${application.namespace}.${application.name}`, longestName);
  // KEP-3659: base64url(sha256("<name>.<namespace>.<kind>.<group>")), the group of ConfigMap being empty.
  const id = `applyset-${hash(`${name}.${agentNamespace}.ConfigMap.`).toString('base64url')}-v1`;
  return { name, namespace: agentNamespace, id };
}

function hash(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

/** The parent as it is to be applied. `members`: all that may be in the cluster, which the KEP wants to be said before it is so. */
export function applySetParent(
  set: ApplySet,
  memory: Pick<ApplySetMemory, 'uid' | 'siteUid' | 'release' | 'digest' | 'activatedTime' | 'succeeded'> & {
    readonly itemId: string;
  },
  members: readonly ObjectRef[],
): KubeObject {
  const groupKinds = new Set(members.map(groupKindOf));
  const namespaces = new Set(members.flatMap((ref) => ref.namespace ?? []));
  namespaces.delete(set.namespace);
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: {
      name: set.name,
      namespace: set.namespace,
      labels: { [names.id]: set.id },
      annotations: {
        [names.tooling]: tooling,
        [names.groupKinds]: [...groupKinds].sort().join(','),
        [names.namespaces]: [...namespaces].sort().join(','),
        [names.application]: memory.itemId,
        [names.uid]: memory.uid,
        [names.siteUid]: memory.siteUid,
        [names.release]: memory.release,
        [names.digest]: memory.digest,
        ...(memory.activatedTime === undefined ? {} : { [names.activatedTime]: memory.activatedTime }),
        ...(memory.succeeded === undefined ? {} : { [names.succeeded]: memory.succeeded }),
      },
    },
  };
}

/** Undefined: it is no parent of an ApplySet of ours. */
export function readApplySetParent(parent: KubeObject): ApplySetMemory | undefined {
  const annotations = parent.metadata.annotations ?? {};
  const { [names.uid]: uid, [names.siteUid]: siteUid } = annotations;
  if (uid === undefined || siteUid === undefined) return undefined;
  const list = (text: string | undefined) => (text ?? '').split(',').filter((part) => part !== '');
  return {
    uid,
    siteUid,
    release: annotations[names.release] ?? '',
    digest: annotations[names.digest] ?? '',
    activatedTime: annotations[names.activatedTime],
    succeeded: annotations[names.succeeded],
    groupKinds: list(annotations[names.groupKinds]),
    namespaces: list(annotations[names.namespaces]),
  };
}

/** `Deployment.apps`, `ConfigMap`. */
export function groupKindOf({ apiVersion, kind }: ObjectRef): string {
  const group = groupOf(apiVersion);
  return group === '' ? kind : `${kind}.${group}`;
}

/** The id of the ApplySet that an object is part of. */
export function partOf(object: KubeObject): string | undefined {
  return object.metadata.labels?.[partOfLabel];
}
