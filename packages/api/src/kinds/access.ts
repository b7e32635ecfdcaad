import Type, { type Static } from 'typebox';
import type { KubeObject, ResourceRef } from '../object-meta.ts';
import { labelSelectorSchema } from './label-selector-schema.ts';

/** Who may do what: `rbac.authorization.k8s.io/v1`, as Kubernetes defines it. */
export const rbacGroup = 'rbac.authorization.k8s.io';

const rbac = (plural: string, kind: string, namespaced: boolean): ResourceRef => ({
  group: rbacGroup,
  version: 'v1',
  plural,
  kind,
  namespaced,
});
export const roles: ResourceRef = rbac('roles', 'Role', true);
export const roleBindings: ResourceRef = rbac('rolebindings', 'RoleBinding', true);
export const clusterRoles: ResourceRef = rbac('clusterroles', 'ClusterRole', false);
export const clusterRoleBindings: ResourceRef = rbac('clusterrolebindings', 'ClusterRoleBinding', false);

const texts = (description: string) =>
  Type.Array(Type.String(), { description, 'x-kubernetes-list-type': 'atomic' });

export const policyRuleSchema = Type.Object(
  {
    verbs: texts('What may be done: get, list, watch, create, update, patch, delete, …; "*" is everything.'),
    apiGroups: Type.Optional(texts('API groups of the resources; "" is the core group, "*" every group.')),
    resources: Type.Optional(
      texts(
        'Resources, or subresources as pods/log; "*" is everything, "*/status" a subresource of everything.',
      ),
    ),
    resourceNames: Type.Optional(texts('Names of single objects. Empty: all.')),
    nonResourceURLs: Type.Optional(
      texts('Paths that are no resources, of which the last step may be "*". Only in a ClusterRole.'),
    ),
  },
  { description: 'Allows some verbs on some resources or paths.' },
);
export type PolicyRule = Static<typeof policyRuleSchema>;

const rulesSchema = Type.Array(policyRuleSchema, {
  description: 'What the role allows.',
  'x-kubernetes-list-type': 'atomic',
});

export const roleSchema = Type.Object({ rules: Type.Optional(rulesSchema) });

export const clusterRoleSchema = Type.Object({
  rules: Type.Optional(rulesSchema),
  aggregationRule: Type.Optional(
    Type.Object(
      {
        clusterRoleSelectors: Type.Optional(
          Type.Array(labelSelectorSchema, {
            description: 'ClusterRoles that match one of these labels selectors are part of this one.',
            'x-kubernetes-list-type': 'atomic',
          }),
        ),
      },
      { description: 'Makes the rules from those of other ClusterRoles; the server keeps them up to date.' },
    ),
  ),
});

const subjectSchema = Type.Object(
  {
    kind: Type.String({ description: 'User, Group or ServiceAccount.' }),
    apiGroup: Type.Optional(
      Type.String({ description: `${rbacGroup} for users and groups, empty for service accounts.` }),
    ),
    name: Type.String({ description: 'Name of the user, group or service account.' }),
    namespace: Type.Optional(Type.String({ description: 'Namespace of a service account.' })),
  },
  { description: 'Who is meant.', 'x-kubernetes-map-type': 'atomic' },
);
export type Subject = Static<typeof subjectSchema>;

const roleRefSchema = Type.Object(
  {
    apiGroup: Type.Optional(Type.String({ default: rbacGroup, description: `Always ${rbacGroup}.` })),
    kind: Type.String({ description: 'Role or ClusterRole.' }),
    name: Type.String({ description: 'Name of the role.' }),
  },
  { description: 'The role that is given. Cannot be changed.', 'x-kubernetes-map-type': 'atomic' },
);
export type RoleRef = Static<typeof roleRefSchema>;

export const roleBindingSchema = Type.Object({
  subjects: Type.Optional(
    Type.Array(subjectSchema, {
      description: 'Who gets the role.',
      'x-kubernetes-list-type': 'atomic',
    }),
  ),
  roleRef: roleRefSchema,
});

export interface Role extends KubeObject {
  rules?: PolicyRule[];
}
export type ClusterRole = KubeObject & Static<typeof clusterRoleSchema>;
/** A RoleBinding or a ClusterRoleBinding. */
export interface RoleBinding extends KubeObject {
  subjects?: Subject[];
  roleRef: RoleRef;
}
