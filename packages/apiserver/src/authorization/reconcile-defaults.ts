import { isDeepStrictEqual } from 'node:util';
import {
  type ClusterRole,
  clusterRoleBindings,
  clusterRoles,
  isAlreadyExists,
  isConflict,
  isNotFound,
  type KubeObject,
  type ObjectClient,
  type ResourceRef,
  type RoleBinding,
} from '@selvedge/api';
import type { DefaultAccess } from './default-roles.ts';
import { missingRules } from './policy-rule.ts';

const autoupdate = 'rbac.authorization.kubernetes.io/autoupdate';
const bootstrapping = { 'kubernetes.io/bootstrapping': 'rbac-defaults' };

const maxAttempts = 10;

/**
 * Sees to it that the defaults are there: what is missing is made; to what is there, missing rules, selectors and
 * subjects are added, and nothing is taken away; an object with the annotation
 * `rbac.authorization.kubernetes.io/autoupdate: "false"` is left alone. Writes nothing when all is as it should be, and
 * may run in several hubs at once.
 */
export async function reconcileDefaults(
  client: ObjectClient,
  { clusterRoles: wantedRoles, clusterRoleBindings: wantedBindings }: DefaultAccess,
): Promise<void> {
  const [roles, bindings] = await Promise.all([client.list(clusterRoles), client.list(clusterRoleBindings)]);
  const present = new Map<string, KubeObject>();
  for (const { metadata, ...rest } of [...roles.items, ...bindings.items]) {
    present.set(`${rest.kind}/${metadata.name}`, { ...rest, metadata });
  }
  const reconcile = <T extends KubeObject>(ref: ResourceRef, wanted: T, complete: Complete<T>) =>
    reconcileOne(client, {
      ref,
      wanted: withMarks(wanted),
      complete,
      present: present.get(`${ref.kind}/${wanted.metadata.name}`) as T | undefined,
    });
  await Promise.all([
    ...wantedRoles.map((role) => reconcile(clusterRoles, role, completeRole)),
    ...wantedBindings.map((binding) => reconcile(clusterRoleBindings, binding, completeBinding)),
  ]);
}

type Complete<T> = (present: T, wanted: T) => T;

interface Wanted<T extends KubeObject> {
  readonly ref: ResourceRef;
  readonly wanted: T;
  readonly present: T | undefined;
  readonly complete: Complete<T>;
}

async function reconcileOne<T extends KubeObject>(
  client: ObjectClient,
  { ref, wanted, present, complete }: Wanted<T>,
): Promise<void> {
  let current = present;
  for (let attempt = 1; ; attempt++) {
    try {
      if (!current) {
        await client.create(ref, wanted);
        return;
      }
      if (current.metadata.annotations?.[autoupdate] === 'false') return;
      const completed = withMetadataOf(complete(current, wanted), wanted);
      if (!isDeepStrictEqual(completed, current)) await client.update(ref, completed);
      return;
    } catch (error) {
      // Another hub does the same, or a person is at it.
      const isOvertaken = isAlreadyExists(error) || isConflict(error) || isNotFound(error);
      if (!isOvertaken || attempt === maxAttempts) throw error;
      current = await client.find<T>(ref, { name: wanted.metadata.name });
    }
  }
}

const withMarks = <T extends KubeObject>(object: T): T => ({
  ...object,
  metadata: {
    ...object.metadata,
    annotations: { [autoupdate]: 'true' },
    labels: { ...bootstrapping, ...object.metadata.labels },
  },
});

function withMetadataOf<T extends KubeObject>(object: T, { metadata: wanted }: T): T {
  const { labels, annotations } = object.metadata;
  return {
    ...object,
    metadata: {
      ...object.metadata,
      labels: { ...wanted.labels, ...labels },
      annotations: { ...wanted.annotations, ...annotations },
    },
  };
}

/** The rules of an aggregated role are not looked at: they follow from its selectors. */
function completeRole(present: ClusterRole, wanted: ClusterRole): ClusterRole {
  const selectors = wanted.aggregationRule?.clusterRoleSelectors;
  if (selectors) {
    const known = present.aggregationRule?.clusterRoleSelectors ?? [];
    const missing = selectors.filter((selector) => !known.some((k) => isDeepStrictEqual(k, selector)));
    if (missing.length === 0) return present;
    return { ...present, aggregationRule: { clusterRoleSelectors: [...known, ...missing] } };
  }
  const rules = present.rules ?? [];
  const missing = (wanted.rules ?? []).filter((rule) => missingRules(rules, [rule])?.length !== 0);
  return missing.length === 0 ? present : { ...present, rules: [...rules, ...missing] };
}

/** A binding of the name to another role is somebody's own: the role of a binding cannot be changed. */
function completeBinding(present: RoleBinding, wanted: RoleBinding): RoleBinding {
  if (present.roleRef.name !== wanted.roleRef.name) return present;
  const subjects = present.subjects ?? [];
  const missing = (wanted.subjects ?? []).filter(
    (w) => !subjects.some((s) => s.kind === w.kind && s.name === w.name),
  );
  return missing.length === 0 ? present : { ...present, subjects: [...subjects, ...missing] };
}
