import { listOf, mapOf, type Message, message } from './protobuf-message.ts';

/**
 * The kinds of Kubernetes' own that a server of ours may serve, as they are on the wire: field numbers are those of
 * the `generated.proto` of k8s.io/api and k8s.io/apimachinery. They hold what a client may send; parts of `status`
 * that only the server writes are left out, and skipped when they come.
 */
const ownerReference = message({
  kind: [1, 'string'],
  name: [3, 'string'],
  uid: [4, 'string'],
  apiVersion: [5, 'string'],
  controller: [6, 'boolean'],
  blockOwnerDeletion: [7, 'boolean'],
});
const managedFieldsEntry = message({
  manager: [1, 'string'],
  operation: [2, 'string'],
  apiVersion: [3, 'string'],
  time: [4, 'time'],
  fieldsType: [6, 'string'],
  fieldsV1: [7, 'json'],
  subresource: [8, 'string'],
});
const objectMeta = message({
  name: [1, 'string'],
  generateName: [2, 'string'],
  namespace: [3, 'string'],
  selfLink: [4, 'string'],
  uid: [5, 'string'],
  resourceVersion: [6, 'string'],
  generation: [7, 'count'],
  creationTimestamp: [8, 'time'],
  deletionTimestamp: [9, 'time'],
  deletionGracePeriodSeconds: [10, 'integer'],
  labels: [11, mapOf('string')],
  annotations: [12, mapOf('string')],
  ownerReferences: [13, listOf(ownerReference)],
  finalizers: [14, listOf('string')],
  managedFields: [17, listOf(managedFieldsEntry)],
});

const deleteOptions = message({
  gracePeriodSeconds: [1, 'integer'],
  preconditions: [2, message({ uid: [1, 'string'], resourceVersion: [2, 'string'] })],
  orphanDependents: [3, 'boolean'],
  propagationPolicy: [4, 'string'],
  dryRun: [5, listOf('string')],
  ignoreStoreReadErrorWithClusterBreakingPotential: [6, 'boolean'],
});

const objectReference = message({
  kind: [1, 'string'],
  namespace: [2, 'string'],
  name: [3, 'string'],
  uid: [4, 'string'],
  apiVersion: [5, 'string'],
  resourceVersion: [6, 'string'],
  fieldPath: [7, 'string'],
});

const namespaceCondition = message({
  type: [1, 'string'],
  status: [2, 'string'],
  lastTransitionTime: [4, 'time'],
  reason: [5, 'string'],
  message: [6, 'string'],
});
const eventSource = message({ component: [1, 'string'], host: [2, 'string'] });
const eventSeries = message({ count: [1, 'count'], lastObservedTime: [2, 'microTime'] });
const scopeRequirement = message({
  scopeName: [1, 'string'],
  operator: [2, 'string'],
  values: [3, listOf('string')],
});

const core: Readonly<Record<string, Message>> = {
  Namespace: message({
    metadata: [1, objectMeta],
    spec: [2, message({ finalizers: [1, listOf('string')] })],
    status: [3, message({ phase: [1, 'string'], conditions: [2, listOf(namespaceCondition)] })],
  }),
  ConfigMap: message({
    metadata: [1, objectMeta],
    data: [2, mapOf('string')],
    binaryData: [3, mapOf('bytes')],
    immutable: [4, 'boolean'],
  }),
  Secret: message({
    metadata: [1, objectMeta],
    data: [2, mapOf('bytes')],
    type: [3, 'string'],
    stringData: [4, mapOf('string')],
    immutable: [5, 'boolean'],
  }),
  ServiceAccount: message({
    metadata: [1, objectMeta],
    secrets: [2, listOf(objectReference)],
    imagePullSecrets: [3, listOf(message({ name: [1, 'string'] }))],
    automountServiceAccountToken: [4, 'boolean'],
  }),
  Event: message({
    metadata: [1, objectMeta],
    involvedObject: [2, objectReference],
    reason: [3, 'string'],
    message: [4, 'string'],
    source: [5, eventSource],
    firstTimestamp: [6, 'time'],
    lastTimestamp: [7, 'time'],
    count: [8, 'count'],
    type: [9, 'string'],
    eventTime: [10, 'microTime'],
    series: [11, eventSeries],
    action: [12, 'string'],
    related: [13, objectReference],
    reportingComponent: [14, 'string'],
    reportingInstance: [15, 'string'],
  }),
  ResourceQuota: message({
    metadata: [1, objectMeta],
    spec: [
      2,
      message({
        hard: [1, mapOf('quantity')],
        scopes: [2, listOf('string')],
        scopeSelector: [3, message({ matchExpressions: [1, listOf(scopeRequirement)] })],
      }),
    ],
    status: [3, message({ hard: [1, mapOf('quantity')], used: [2, mapOf('quantity')] })],
  }),
};

const events: Readonly<Record<string, Message>> = {
  Event: message({
    metadata: [1, objectMeta],
    eventTime: [2, 'microTime'],
    series: [3, eventSeries],
    reportingController: [4, 'string'],
    reportingInstance: [5, 'string'],
    action: [6, 'string'],
    reason: [7, 'string'],
    regarding: [8, objectReference],
    related: [9, objectReference],
    note: [10, 'string'],
    type: [11, 'string'],
    deprecatedSource: [12, eventSource],
    deprecatedFirstTimestamp: [13, 'time'],
    deprecatedLastTimestamp: [14, 'time'],
    deprecatedCount: [15, 'count'],
  }),
};

const coordination: Readonly<Record<string, Message>> = {
  Lease: message({
    metadata: [1, objectMeta],
    spec: [
      2,
      message({
        holderIdentity: [1, 'string'],
        leaseDurationSeconds: [2, 'integer'],
        acquireTime: [3, 'microTime'],
        renewTime: [4, 'microTime'],
        leaseTransitions: [5, 'integer'],
        strategy: [6, 'string'],
        preferredHolder: [7, 'string'],
      }),
    ],
  }),
};

const labelSelector = message({
  matchLabels: [1, mapOf('string')],
  matchExpressions: [
    2,
    listOf(message({ key: [1, 'string'], operator: [2, 'string'], values: [3, listOf('string')] })),
  ],
});
const policyRule = message({
  verbs: [1, listOf('string')],
  apiGroups: [2, listOf('string')],
  resources: [3, listOf('string')],
  resourceNames: [4, listOf('string')],
  nonResourceURLs: [5, listOf('string')],
});
const subject = message({
  kind: [1, 'string'],
  apiGroup: [2, 'string'],
  name: [3, 'string'],
  namespace: [4, 'string'],
});
const roleRef = message({ apiGroup: [1, 'string'], kind: [2, 'string'], name: [3, 'string'] });
const role = { metadata: [1, objectMeta], rules: [2, listOf(policyRule)] } as const;
const binding = message({
  metadata: [1, objectMeta],
  subjects: [2, listOf(subject)],
  roleRef: [3, roleRef],
});

const rbac: Readonly<Record<string, Message>> = {
  Role: message(role),
  ClusterRole: message({
    ...role,
    aggregationRule: [3, message({ clusterRoleSelectors: [1, listOf(labelSelector)] })],
  }),
  RoleBinding: binding,
  ClusterRoleBinding: binding,
};

const boundObjectReference = message({
  kind: [1, 'string'],
  apiVersion: [2, 'string'],
  name: [3, 'string'],
  uid: [4, 'string'],
});

const authentication: Readonly<Record<string, Message>> = {
  TokenRequest: message({
    metadata: [1, objectMeta],
    spec: [
      2,
      message({
        audiences: [1, listOf('string')],
        boundObjectRef: [3, boundObjectReference],
        expirationSeconds: [4, 'integer'],
      }),
    ],
  }),
  TokenReview: message({
    metadata: [1, objectMeta],
    spec: [2, message({ token: [1, 'string'], audiences: [2, listOf('string')] })],
  }),
  SelfSubjectReview: message({ metadata: [1, objectMeta] }),
};

const requirement = message({ key: [1, 'string'], operator: [2, 'string'], values: [3, listOf('string')] });
const selectorAttributes = message({ rawSelector: [1, 'string'], requirements: [2, listOf(requirement)] });
const attributes = {
  resourceAttributes: [
    1,
    message({
      namespace: [1, 'string'],
      verb: [2, 'string'],
      group: [3, 'string'],
      version: [4, 'string'],
      resource: [5, 'string'],
      subresource: [6, 'string'],
      name: [7, 'string'],
      fieldSelector: [8, selectorAttributes],
      labelSelector: [9, selectorAttributes],
    }),
  ],
  nonResourceAttributes: [2, message({ path: [1, 'string'], verb: [2, 'string'] })],
} as const;
const accessReview = message({
  metadata: [1, objectMeta],
  spec: [
    2,
    message({
      ...attributes,
      user: [3, 'string'],
      groups: [4, listOf('string')],
      extra: [5, mapOf('stringList')],
      uid: [6, 'string'],
    }),
  ],
});

const authorization: Readonly<Record<string, Message>> = {
  SubjectAccessReview: accessReview,
  LocalSubjectAccessReview: accessReview,
  SelfSubjectAccessReview: message({ metadata: [1, objectMeta], spec: [2, message(attributes)] }),
  SelfSubjectRulesReview: message({
    metadata: [1, objectMeta],
    spec: [2, message({ namespace: [1, 'string'] })],
  }),
};

const autoscaling: Readonly<Record<string, Message>> = {
  Scale: message({
    metadata: [1, objectMeta],
    spec: [2, message({ replicas: [1, 'count'] })],
    status: [3, message({ replicas: [1, 'integer'], selector: [2, 'string'] })],
  }),
};

const byApiVersion: Readonly<Record<string, Readonly<Record<string, Message>>>> = {
  v1: core,
  'events.k8s.io/v1': events,
  'coordination.k8s.io/v1': coordination,
  'rbac.authorization.k8s.io/v1': rbac,
  'authentication.k8s.io/v1': authentication,
  'authentication.k8s.io/v1beta1': { SelfSubjectReview: message({ metadata: [1, objectMeta] }) },
  'authorization.k8s.io/v1': authorization,
  'autoscaling/v1': autoscaling,
};

/** `undefined` for kinds that have no form in protobuf here. */
export function findMessage(apiVersion: string, kind: string): Message | undefined {
  // Clients give it the version of the group that they talk to.
  if (kind === 'DeleteOptions') return deleteOptions;
  const kinds = Object.hasOwn(byApiVersion, apiVersion) ? byApiVersion[apiVersion] : undefined;
  return kinds && Object.hasOwn(kinds, kind) ? kinds[kind] : undefined;
}
