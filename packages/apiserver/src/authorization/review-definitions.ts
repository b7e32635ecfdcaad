import {
  badRequest,
  type FieldError,
  fieldInvalid,
  fieldRequired,
  invalid,
  type KubeObject,
  type PolicyRule,
  type ResourceRef,
} from '@selvedge/api';
import type { UserInfo } from '../authentication/user-info.ts';
import type { AdmissionContext, JsonSchema, ReviewDefinition } from '../resource-definition.ts';
import type { Attributes, Authorizer } from './authorizer.ts';

const group = 'authorization.k8s.io';
const text = (description: string): JsonSchema => ({ type: 'string', description });
const texts = (description: string): JsonSchema => ({
  type: 'array',
  items: { type: 'string' },
  description,
  'x-kubernetes-list-type': 'atomic',
});

const selectorAttributes = (what: string): JsonSchema => ({
  type: 'object',
  description: `Limits the access to objects with these ${what}. RBAC takes no notice of it.`,
  'x-kubernetes-preserve-unknown-fields': true,
});

const attributesSchemas = {
  resourceAttributes: {
    type: 'object',
    description: 'What is to be done to which resource.',
    properties: {
      namespace: text('Namespace; empty: all namespaces, or a resource that is in none.'),
      verb: text('get, list, watch, create, update, patch, delete, …; "*" is everything.'),
      group: text('API group of the resource; "*" is every group.'),
      version: text('API version of the resource.'),
      resource: text('The resource; "*" is everything.'),
      subresource: text('Part of the resource, as in status.'),
      name: text('Name of one object; empty: all.'),
      fieldSelector: selectorAttributes('fields'),
      labelSelector: selectorAttributes('labels'),
    },
  },
  nonResourceAttributes: {
    type: 'object',
    description: 'What is to be done to which path.',
    properties: { path: text('The path of the URL.'), verb: text('The method, in lower case.') },
  },
} satisfies Record<string, JsonSchema>;

const userSchemas = {
  user: text('Name of the user.'),
  groups: texts('Groups of the user.'),
  uid: text('Identity of the user.'),
  extra: {
    type: 'object',
    description: 'What else is known of the user.',
    additionalProperties: { type: 'array', items: { type: 'string' } },
  },
} satisfies Record<string, JsonSchema>;

const accessStatusSchema: JsonSchema = {
  type: 'object',
  description: 'The answer.',
  properties: {
    allowed: { type: 'boolean', description: 'Whether it may be done.' },
    denied: { type: 'boolean', description: 'Whether something forbids it, whatever else allows it.' },
    reason: text('Which binding allows it.'),
    evaluationError: text('What went wrong while it was looked up.'),
  },
};

interface AccessSpec {
  readonly resourceAttributes?: {
    readonly namespace?: string;
    readonly verb?: string;
    readonly group?: string;
    readonly resource?: string;
    readonly subresource?: string;
    readonly name?: string;
  };
  readonly nonResourceAttributes?: { readonly path?: string; readonly verb?: string };
  readonly user?: string;
  readonly uid?: string;
  readonly groups?: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

const specOf = (object: KubeObject) => (object['spec'] ?? {}) as AccessSpec;

/** `kubectl auth can-i`, and what other programs ask to let the hub decide for them. */
export const reviewDefinitions: readonly ReviewDefinition[] = [
  accessReview({
    ref: reviewRef('subjectaccessreviews', 'SubjectAccessReview'),
    description: 'Asks whether a user may do something.',
    spec: { ...attributesSchemas, ...userSchemas },
    validate: ({ spec }) => validateUser(spec),
    userOf: (spec) => namedUser(spec),
  }),
  accessReview({
    ref: { ...reviewRef('localsubjectaccessreviews', 'LocalSubjectAccessReview'), namespaced: true },
    description: 'Asks whether a user may do something in one namespace.',
    spec: { ...attributesSchemas, ...userSchemas },
    validate: ({ spec, namespace }) => [...validateUser(spec), ...validateLocal(spec, namespace)],
    userOf: (spec) => namedUser(spec),
  }),
  accessReview({
    ref: reviewRef('selfsubjectaccessreviews', 'SelfSubjectAccessReview'),
    description: 'Asks whether the asking user may do something.',
    spec: attributesSchemas,
    validate: () => [],
    userOf: (_, { user }) => user,
  }),
  {
    ref: reviewRef('selfsubjectrulesreviews', 'SelfSubjectRulesReview'),
    singular: 'selfsubjectrulesreview',
    description: 'Asks for everything that the asking user may do in a namespace.',
    schema: {
      type: 'object',
      required: ['spec'],
      properties: {
        spec: {
          type: 'object',
          description: 'What is asked.',
          properties: { namespace: text('The namespace. Has to be set.') },
        },
        status: rulesStatusSchema(),
      },
    },
    review: async (object, { user, authorizer }) => {
      const { namespace } = object['spec'] as { namespace?: string };
      if (!namespace) throw badRequest('no namespace on request');
      return { ...object, status: rulesStatus(authorizer.rulesOf(user, namespace)) };
    },
  },
];

function reviewRef(plural: string, kind: string): ResourceRef {
  return { group, version: 'v1', plural, kind, namespaced: false };
}

interface AccessReview {
  readonly ref: ResourceRef;
  readonly description: string;
  readonly spec: Record<string, JsonSchema>;
  readonly validate: (asked: { spec: AccessSpec; namespace: string | undefined }) => readonly FieldError[];
  readonly userOf: (spec: AccessSpec, context: AdmissionContext) => UserInfo;
}

function accessReview({ ref, description, spec, validate, userOf }: AccessReview): ReviewDefinition {
  return {
    ref,
    singular: ref.kind.toLowerCase(),
    description,
    schema: {
      type: 'object',
      required: ['spec'],
      properties: {
        spec: { type: 'object', description: 'What is asked.', properties: spec },
        status: accessStatusSchema,
      },
    },
    review: async (object, context) => {
      const asked = { spec: specOf(object), namespace: object.metadata.namespace };
      const errors = [...validateAttributes(asked.spec), ...validate(asked)];
      if (errors.length > 0) throw invalid(ref, object.metadata.name, errors);
      return { ...object, status: statusOf(context.authorizer, userOf(asked.spec, context), asked.spec) };
    },
  };
}

function statusOf(authorizer: Authorizer, user: UserInfo, spec: AccessSpec): object {
  const { allowed, reason } = authorizer.decide(user, attributesOf(spec));
  return { allowed, ...(reason === '' ? {} : { reason }) };
}

function attributesOf({ resourceAttributes, nonResourceAttributes }: AccessSpec): Attributes {
  if (nonResourceAttributes) {
    return { verb: nonResourceAttributes.verb ?? '', path: nonResourceAttributes.path ?? '' };
  }
  const { verb = '', group: apiGroup = '', resource = '', ...place } = resourceAttributes ?? {};
  return {
    verb,
    group: apiGroup,
    resource,
    subresource: place.subresource || undefined,
    namespace: place.namespace || undefined,
    name: place.name || undefined,
  };
}

function namedUser({ user = '', uid, groups = [], extra }: AccessSpec): UserInfo {
  return { name: user, groups, ...(uid ? { uid } : {}), ...(extra ? { extra } : {}) };
}

function validateAttributes({ resourceAttributes, nonResourceAttributes }: AccessSpec): FieldError[] {
  if (resourceAttributes && nonResourceAttributes) {
    const why = 'cannot be specified in combination with resourceAttributes';
    return [fieldInvalid('spec.nonResourceAttributes', nonResourceAttributes, why)];
  }
  if (resourceAttributes || nonResourceAttributes) return [];
  const why = 'exactly one of nonResourceAttributes or resourceAttributes must be specified';
  return [fieldInvalid('spec.resourceAttributes', null, why)];
}

function validateUser({ user, groups = [] }: AccessSpec): FieldError[] {
  if (user || groups.length > 0) return [];
  return [fieldRequired('spec.user', 'at least one of user or group must be specified')];
}

function validateLocal(
  { resourceAttributes, nonResourceAttributes }: AccessSpec,
  namespace: string | undefined,
): FieldError[] {
  if (nonResourceAttributes) {
    const why = 'disallowed on this kind of request';
    return [fieldInvalid('spec.nonResourceAttributes', nonResourceAttributes, why)];
  }
  if (!resourceAttributes || resourceAttributes.namespace === namespace) return [];
  const why = 'must match metadata.namespace';
  return [fieldInvalid('spec.resourceAttributes.namespace', resourceAttributes.namespace, why)];
}

function rulesStatusSchema(): JsonSchema {
  const verbs = texts('What may be done.');
  const listOf = (properties: Record<string, JsonSchema>, description: string): JsonSchema => ({
    type: 'array',
    description,
    'x-kubernetes-list-type': 'atomic',
    items: { type: 'object', required: ['verbs'], properties: { verbs, ...properties } },
  });
  return {
    type: 'object',
    description: 'The answer.',
    required: ['resourceRules', 'nonResourceRules', 'incomplete'],
    properties: {
      resourceRules: listOf(
        {
          apiGroups: texts('API groups of the resources.'),
          resources: texts('Resources.'),
          resourceNames: texts('Names of single objects; empty: all.'),
        },
        'What may be done to resources.',
      ),
      nonResourceRules: listOf({ nonResourceURLs: texts('Paths.') }, 'What may be done to paths.'),
      incomplete: { type: 'boolean', description: 'Whether there may be more.' },
      evaluationError: text('Why there may be more.'),
    },
  };
}

function rulesStatus(rules: readonly PolicyRule[]): object {
  return {
    resourceRules: rules
      .filter((rule) => (rule.resources ?? []).length > 0)
      .map(({ verbs, apiGroups = [], resources = [], resourceNames = [] }) => ({
        verbs,
        apiGroups,
        resources,
        ...(resourceNames.length > 0 ? { resourceNames } : {}),
      })),
    nonResourceRules: rules
      .filter((rule) => (rule.nonResourceURLs ?? []).length > 0)
      .map(({ verbs, nonResourceURLs = [] }) => ({ verbs, nonResourceURLs })),
    incomplete: false,
  };
}
