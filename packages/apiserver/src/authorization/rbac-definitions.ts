import { isDeepStrictEqual } from 'node:util';
import {
  type ClusterRole,
  clusterRoleBindings,
  clusterRoles,
  clusterRoleSchema,
  type FieldError,
  faultOfDnsSubdomain,
  faultOfPathSegment,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  type PolicyRule,
  type ResourceRef,
  type RoleBinding,
  rbacGroup,
  roleBindings,
  roleBindingSchema,
  roles,
  roleSchema,
  type Subject,
  validateLabelSelector,
} from '@selvedge/api';
import type { ObjectStore } from '@selvedge/store';
import type { PrinterColumn, ResourceDefinition } from '../resource-definition.ts';
import { refuseEscalationByBinding, refuseEscalationByRole } from './escalation.ts';

/**
 * The kinds of RBAC. They live here, not with the kinds of the hub, because the server itself decides by them, keeps
 * their default objects, and refuses escalation.
 */
export function rbacDefinitions(store: ObjectStore): ResourceDefinition[] {
  return [
    roleDefinition(roles, 'Permissions in one namespace.'),
    roleDefinition(clusterRoles, 'Permissions in all namespaces, or in one when bound there.'),
    bindingDefinition(roleBindings, 'Gives somebody a role in one namespace.', store),
    bindingDefinition(clusterRoleBindings, 'Gives somebody a ClusterRole everywhere.', store),
  ];
}

const shared = { statusSubresource: false, strategicMergePatch: true, nameRule: 'pathSegment' } as const;

function roleDefinition(ref: ResourceRef, description: string): ResourceDefinition {
  return {
    ...shared,
    ref,
    singular: ref.kind.toLowerCase(),
    description,
    schema: ref.namespaced ? { ...roleSchema } : { ...clusterRoleSchema },
    validate: (object) => validateRole(ref, object as ClusterRole),
    admit: async (object, previous, context) =>
      refuseEscalationByRole(
        { ref, object: object as ClusterRole, previous: previous as ClusterRole | undefined },
        context,
      ),
    columns: [
      {
        name: 'Created At',
        type: 'string',
        description: 'When the role was created.',
        value: ({ metadata }) => metadata.creationTimestamp,
      },
    ],
  };
}

function bindingDefinition(ref: ResourceRef, description: string, store: ObjectStore): ResourceDefinition {
  return {
    ...shared,
    ref,
    singular: ref.kind.toLowerCase(),
    description,
    schema: { ...roleBindingSchema },
    prepare: (object) => withSubjectGroups(object as RoleBinding),
    validate: (object, previous) =>
      validateBinding(ref, object as RoleBinding, previous as RoleBinding | undefined),
    admit: (object, previous, context) =>
      refuseEscalationByBinding(
        { ref, object: object as RoleBinding, previous: previous as RoleBinding | undefined },
        context,
        store,
      ),
    columns: bindingColumns,
  };
}

function subjectColumn(name: string, kind: string): PrinterColumn {
  return {
    name,
    type: 'string',
    priority: 1,
    description: `${name} that have the role.`,
    value: (object) => {
      const { subjects = [], metadata } = object as RoleBinding;
      const names = subjects
        .filter((subject) => subject.kind === kind)
        .map((s) => (kind === 'ServiceAccount' ? `${s.namespace ?? metadata.namespace}/${s.name}` : s.name));
      return names.join(', ');
    },
  };
}

const bindingColumns: readonly PrinterColumn[] = [
  {
    name: 'Role',
    type: 'string',
    description: 'The role that is given.',
    value: (object) => `${(object as RoleBinding).roleRef.kind}/${(object as RoleBinding).roleRef.name}`,
  },
  {
    name: 'Age',
    type: 'date',
    description: 'Time since the object was created.',
    value: ({ metadata }) => metadata.creationTimestamp,
  },
  subjectColumn('Users', 'User'),
  subjectColumn('Groups', 'Group'),
  subjectColumn('ServiceAccounts', 'ServiceAccount'),
];

function validateRole(ref: ResourceRef, { rules = [], aggregationRule }: ClusterRole): FieldError[] {
  const errors = rules.flatMap((rule, i) => validateRule(rule, `rules[${i}]`, ref.namespaced));
  if (aggregationRule === undefined) return errors;
  const path = 'aggregationRule.clusterRoleSelectors';
  const selectors = aggregationRule.clusterRoleSelectors ?? [];
  if (selectors.length === 0) {
    errors.push(
      fieldRequired(path, 'at least one clusterRoleSelector required if aggregationRule is non-nil'),
    );
  }
  return [...errors, ...selectors.flatMap((selector, i) => validateLabelSelector(selector, `${path}[${i}]`))];
}

function validateRule(rule: PolicyRule, path: string, isNamespaced: boolean): FieldError[] {
  const { verbs, apiGroups = [], resources = [], resourceNames = [], nonResourceURLs = [] } = rule;
  const errors: FieldError[] = [];
  if (verbs.length === 0)
    errors.push(fieldRequired(`${path}.verbs`, 'verbs must contain at least one value'));
  if (nonResourceURLs.length > 0) {
    const refuse = (why: string) =>
      errors.push(fieldInvalid(`${path}.nonResourceURLs`, nonResourceURLs, why));
    if (isNamespaced) refuse('namespaced rules cannot apply to non-resource URLs');
    if (apiGroups.length + resources.length + resourceNames.length > 0) {
      refuse('rules cannot apply to both regular resources and non-resource URLs');
    }
    return errors;
  }
  if (apiGroups.length === 0) {
    errors.push(fieldRequired(`${path}.apiGroups`, 'resource rules must supply at least one api group'));
  }
  if (resources.length === 0) {
    errors.push(fieldRequired(`${path}.resources`, 'resource rules must supply at least one resource'));
  }
  return errors;
}

/** Users and groups are of the RBAC group, whether it was said or not. */
function withSubjectGroups(binding: RoleBinding): RoleBinding {
  const { subjects } = binding;
  if (!subjects) return binding;
  const complete = (subject: Subject): Subject =>
    subject.kind === 'ServiceAccount' || subject.apiGroup ? subject : { ...subject, apiGroup: rbacGroup };
  return { ...binding, subjects: subjects.map(complete) };
}

function validateBinding(
  ref: ResourceRef,
  { roleRef, subjects = [] }: RoleBinding,
  previous: RoleBinding | undefined,
): FieldError[] {
  const errors: FieldError[] = [];
  if (roleRef.apiGroup !== rbacGroup) {
    errors.push(fieldNotSupported('roleRef.apiGroup', roleRef.apiGroup, [rbacGroup]));
  }
  const kinds = ref.namespaced ? ['Role', 'ClusterRole'] : ['ClusterRole'];
  if (!kinds.includes(roleRef.kind)) errors.push(fieldNotSupported('roleRef.kind', roleRef.kind, kinds));
  const fault = roleRef.name === '' ? undefined : faultOfPathSegment(roleRef.name);
  if (roleRef.name === '') errors.push(fieldRequired('roleRef.name', 'must be set'));
  if (fault) errors.push(fieldInvalid('roleRef.name', roleRef.name, fault));
  if (previous && !isDeepStrictEqual(roleRef, previous.roleRef)) {
    errors.push(fieldInvalid('roleRef', roleRef, 'cannot change roleRef'));
  }
  return [...errors, ...subjects.flatMap((s, i) => validateSubject(s, `subjects[${i}]`, ref.namespaced))];
}

function validateSubject(
  { kind, name, namespace, apiGroup = '' }: Subject,
  path: string,
  isNamespaced: boolean,
): FieldError[] {
  const errors: FieldError[] = [];
  if (name === '') errors.push(fieldRequired(`${path}.name`, 'must be set'));
  if (kind === 'ServiceAccount') {
    const fault = name === '' ? undefined : faultOfDnsSubdomain(name);
    if (fault) errors.push(fieldInvalid(`${path}.name`, name, fault));
    if (apiGroup !== '') errors.push(fieldNotSupported(`${path}.apiGroup`, apiGroup, ['']));
    if (!isNamespaced && !namespace) errors.push(fieldRequired(`${path}.namespace`, 'must be set'));
  } else if (kind === 'User' || kind === 'Group') {
    if (apiGroup !== rbacGroup) errors.push(fieldNotSupported(`${path}.apiGroup`, apiGroup, [rbacGroup]));
  } else {
    errors.push(fieldNotSupported(`${path}.kind`, kind, ['ServiceAccount', 'User', 'Group']));
  }
  return errors;
}
