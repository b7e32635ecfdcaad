import type { Step } from './comparison.ts';
import { apply, configMaps, create, edit, get, objectAt, patch, secrets, update } from './requests.ts';

type Json = Record<string, unknown>;

const namespaces = '/api/v1/namespaces';
const serviceAccounts = '/api/v1/namespaces/default/serviceaccounts';
const resourceQuotas = '/api/v1/namespaces/default/resourcequotas';
const events = '/api/v1/namespaces/default/events';
const roles = '/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles';
const roleBindings = '/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings';
const clusterRoles = '/apis/rbac.authorization.k8s.io/v1/clusterroles';
const leases = '/apis/coordination.k8s.io/v1/namespaces/default/leases';

const metadata = (object: Json): Json => object['metadata'] as Json;
const rule = { apiGroups: [''], resources: ['configmaps'], verbs: ['get'] };
const subject = { kind: 'User', name: 'ann', apiGroup: 'rbac.authorization.k8s.io' };
const involved = { kind: 'ConfigMap', namespace: 'default', name: 'x' };

/** Kinds of Kubernetes' own: created, applied, patched in every way. */
export const builtInScenarios: Readonly<Record<string, readonly Step[]>> = {
  namespaces: [
    create(namespaces, objectAt(namespaces, 'comparison-a')),
    patch('strategic', `${namespaces}/comparison-a`, { metadata: { labels: { a: 'b' } } }),
    apply(namespaces, 'comparison-b', { metadata: { labels: { a: 'b' } } }),
    apply(namespaces, 'comparison-b', {
      metadata: { labels: { a: 'b' } },
      spec: { finalizers: ['kubernetes'] },
    }),
    apply(namespaces, 'comparison-b', {}),
    edit(namespaces, (o) => {
      metadata(o)['annotations'] = { c: 'd' };
      o['status'] = {};
    }),
    patch('merge', `${namespaces}/comparison-b/status`, {
      status: {
        conditions: [
          {
            type: 'A',
            status: 'True',
            lastTransitionTime: '2026-01-01T00:00:00Z',
            reason: 'R',
            message: 'm',
          },
        ],
      },
    }),
  ],
  'service accounts': [
    create(
      serviceAccounts,
      objectAt(serviceAccounts, 'sa', { secrets: [{ name: 'a' }], imagePullSecrets: [{ name: 'p' }] }),
    ),
    apply(serviceAccounts, 'sa', { secrets: [{ name: 'b' }], automountServiceAccountToken: false }),
    patch('strategic', `${serviceAccounts}/sa`, {
      secrets: [{ name: 'c' }],
      imagePullSecrets: [{ name: 'q' }],
    }),
    patch('strategic', `${serviceAccounts}/sa`, { secrets: [{ name: 'a', $patch: 'delete' }] }),
    patch('strategic', `${serviceAccounts}/sa`, { secrets: [{ name: 'z' }, { $patch: 'replace' }] }),
    patch('strategic', `${serviceAccounts}/sa`, {
      '$setElementOrder/secrets': [{ name: 'b' }, { name: 'z' }],
      secrets: [{ name: 'b' }],
    }),
    patch('merge', `${serviceAccounts}/sa`, { secrets: null }),
  ],
  roles: [
    create(roles, objectAt(roles, 'role', { rules: [rule] })),
    apply(roles, 'role', { rules: [{ ...rule, verbs: ['list'] }] }),
    apply(roles, 'role', { rules: [{ ...rule, verbs: ['list'] }] }, { force: true }),
    patch('strategic', `${roles}/role`, { rules: [rule] }),
    create(
      clusterRoles,
      objectAt(clusterRoles, 'comparison', {
        rules: [rule],
      }),
    ),
    apply(clusterRoles, 'comparison', { metadata: { labels: { a: 'b' } } }),
  ],
  'role bindings': [
    create(
      roleBindings,
      objectAt(roleBindings, 'binding', {
        subjects: [subject],
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'view' },
      }),
    ),
    create(
      roleBindings,
      objectAt(roleBindings, 'binding2', {
        subjects: [{ kind: 'User', name: 'ann' }],
        roleRef: { kind: 'ClusterRole', name: 'view' },
      }),
    ),
    apply(
      roleBindings,
      'binding',
      {
        subjects: [{ kind: 'ServiceAccount', name: 's', namespace: 'default' }],
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'view' },
      },
      { force: true },
    ),
    patch('merge', `${roleBindings}/binding`, { roleRef: { name: 'edit' } }),
    patch('merge', `${roleBindings}/binding`, { subjects: null }),
  ],
  leases: [
    create(
      leases,
      objectAt(leases, 'lease', {
        spec: { holderIdentity: 'a', leaseDurationSeconds: 15, renewTime: '2026-01-01T00:00:00.000000Z' },
      }),
    ),
    edit(leases, (o) => {
      (o['spec'] as Json)['holderIdentity'] = 'b';
    }),
    apply(leases, 'lease', { spec: { holderIdentity: 'c' } }),
    apply(leases, 'lease', { spec: { holderIdentity: 'c' } }, { force: true }),
    create(leases, objectAt(leases, 'lease2')),
    update(leases, objectAt(leases, 'lease', { spec: { holderIdentity: 'd' } })),
  ],
  // Beyond this the status differs: there no controller counts.
  'resource quotas': [
    create(
      resourceQuotas,
      objectAt(resourceQuotas, 'quota', { spec: { hard: { 'count/things.nowhere.dev': '10' } } }),
    ),
  ],
  events: [
    create(
      events,
      objectAt(events, 'event', {
        involvedObject: involved,
        type: 'Normal',
        reason: 'R',
        message: 'm',
        count: 1,
        firstTimestamp: '2026-01-01T00:00:00Z',
        lastTimestamp: '2026-01-01T00:00:00Z',
        source: { component: 'c' },
      }),
    ),
    patch('strategic', `${events}/event`, { count: 2, lastTimestamp: '2026-01-01T00:01:00Z' }),
    patch('strategic', `${events}/event`, { involvedObject: { name: 'y' } }),
    apply(events, 'event', { message: 'n', involvedObject: involved }, { force: true }),
  ],
  'unconditional updates of built-in kinds': [
    create(configMaps, objectAt(configMaps, 'plain', { data: { a: 'b' } })),
    update(configMaps, objectAt(configMaps, 'plain', { data: { a: 'c' } })),
    update(
      configMaps,
      objectAt(configMaps, 'plain', { metadata: { resourceVersion: '1' }, data: { a: 'd' } }),
    ),
    update(
      configMaps,
      objectAt(configMaps, 'plain', {
        metadata: { uid: '00000000-0000-0000-0000-000000000000' },
        data: { a: 'd' },
      }),
    ),
    update(configMaps, objectAt(configMaps, 'absent', { data: { a: 'd' } })),
    update(configMaps, {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'plain', generateName: 'x' },
      data: {},
    }),
  ],
  'strategic merge patches': [
    create(
      configMaps,
      objectAt(configMaps, 'smp', {
        metadata: { labels: { a: '1', b: '2' }, finalizers: ['x.dev/a', 'x.dev/b', 'x.dev/c'] },
        data: { a: '1', b: '2', c: '3' },
      }),
    ),
    patch('strategic', `${configMaps}/smp`, { data: { $patch: 'replace', z: '9' } }),
    patch('strategic', `${configMaps}/smp`, { data: { $patch: 'delete' } }),
    patch('strategic', `${configMaps}/smp`, { data: { a: '1', b: '2', c: '3' } }),
    patch('strategic', `${configMaps}/smp`, { data: { $retainKeys: ['a', 'd'], d: '4' } }),
    patch('strategic', `${configMaps}/smp`, { data: { $retainKeys: ['a'], e: '4' } }),
    patch('strategic', `${configMaps}/smp`, { data: { $retainKeys: 'a' } }),
    patch('strategic', `${configMaps}/smp`, { data: { $patch: 'merge' } }),
    patch('strategic', `${configMaps}/smp`, { data: { $patch: 'nonsense' } }),
    patch('strategic', `${configMaps}/smp`, {
      metadata: {
        '$deleteFromPrimitiveList/finalizers': ['x.dev/b'],
        '$setElementOrder/finalizers': ['x.dev/c', 'x.dev/a'],
      },
    }),
    patch('strategic', `${configMaps}/smp`, { metadata: { finalizers: ['x.dev/d', 'x.dev/e'] } }),
    patch('strategic', `${configMaps}/smp`, {
      metadata: { '$setElementOrder/finalizers': ['x.dev/e', 'x.dev/a'], finalizers: ['x.dev/a'] },
    }),
    patch('strategic', `${configMaps}/smp`, {
      metadata: { '$setElementOrder/finalizers': ['x.dev/a', 'x.dev/f'], finalizers: ['x.dev/f', 'x.dev/a'] },
    }),
    patch('strategic', `${configMaps}/smp`, { metadata: { '$setElementOrder/finalizers': 'x' } }),
    patch('strategic', `${configMaps}/smp`, { metadata: { labels: null, annotations: { x: null, y: 'z' } } }),
    patch('strategic', `${configMaps}/smp`, { metadata: { finalizers: null }, unknown: 1 }),
    patch('strategic', `${configMaps}/smp`, { unknown: 1 }, { fieldValidation: 'Strict' }),
    patch('strategic', `${configMaps}/smp`, { data: { a: 1 } }),
    patch('strategic', `${configMaps}/smp`, { data: 'x' }),
    patch('strategic', `${configMaps}/smp`, { $patch: 'delete' }),
    patch('strategic', `${configMaps}/smp`, { $patch: 'replace', data: {} }),
    patch('strategic', `${configMaps}/smp`, []),
    patch('strategic', `${configMaps}/smp`, 'not JSON'),
  ],
  'merge patches': [
    create(configMaps, objectAt(configMaps, 'mp', { data: { a: '1', b: '2' } })),
    patch('merge', `${configMaps}/mp`, { data: { a: null, c: '3', d: null } }),
    patch('merge', `${configMaps}/mp`, { data: null }),
    patch('merge', `${configMaps}/mp`, { data: { a: { b: null } } }),
    patch('merge', `${configMaps}/mp`, { metadata: { name: 'other' } }),
    patch('merge', `${configMaps}/mp`, { kind: 'Other' }),
    patch('merge', `${configMaps}/mp`, { metadata: { resourceVersion: '1' } }),
    patch('merge', `${configMaps}/mp`, { metadata: { uid: 'x' } }),
    patch('merge', `${configMaps}/mp`, []),
    patch('merge', `${configMaps}/mp`, 'null'),
    patch('merge', `${configMaps}/mp`, '"text"'),
    patch('merge', `${configMaps}/mp`, '{"data":{"a":"1","a":"2"}}'),
    patch('merge', `${configMaps}/mp`, '{"data":{"a":"1","a":"2"}}', { fieldValidation: 'Strict' }),
    patch('merge', `${configMaps}/absent`, {}),
    { method: 'PATCH', path: `${configMaps}/mp`, body: {}, contentType: 'application/json' },
  ],
  'JSON patches': [
    create(
      configMaps,
      objectAt(configMaps, 'jp', {
        metadata: { annotations: { 'x/y': '1', 'x/z': '2' }, finalizers: ['x.dev/a', 'x.dev/b'] },
        data: { a: '1' },
      }),
    ),
    patch('json', `${configMaps}/jp`, [
      { op: 'test', path: '/metadata/annotations/x~1y', value: '1' },
      { op: 'replace', path: '/metadata/annotations/x~1z', value: '3' },
    ]),
    patch('json', `${configMaps}/jp`, [{ op: 'test', path: '/data/a', value: '2' }]),
    patch('json', `${configMaps}/jp`, [{ op: 'test', path: '/data/none', value: null }]),
    patch('json', `${configMaps}/jp`, [{ op: 'test', path: '/none/none', value: null }]),
    patch('json', `${configMaps}/jp`, [{ op: 'replace', path: '/data/none', value: 'x' }]),
    patch('json', `${configMaps}/jp`, [{ op: 'replace', path: '/binaryData/none', value: 'x' }]),
    patch('json', `${configMaps}/jp`, [{ op: 'remove', path: '/data/absent' }]),
    patch('json', `${configMaps}/jp`, [{ op: 'add', path: '/metadata/finalizers/1', value: 'x.dev/c' }]),
    patch('json', `${configMaps}/jp`, [{ op: 'add', path: '/metadata/finalizers/9', value: 'x.dev/c' }]),
    patch('json', `${configMaps}/jp`, [{ op: 'add', path: '/metadata/finalizers/-', value: 'x.dev/d' }]),
    patch('json', `${configMaps}/jp`, [{ op: 'remove', path: '/metadata/finalizers/-1' }]),
    patch('json', `${configMaps}/jp`, [{ op: 'replace', path: '/metadata/finalizers/-', value: 'x.dev/e' }]),
    patch('json', `${configMaps}/jp`, [
      { op: 'move', from: '/data/a', path: '/data/b' },
      { op: 'copy', from: '/data/b', path: '/data/c' },
    ]),
    patch('json', `${configMaps}/jp`, [{ op: 'move', from: '/data/absent', path: '/data/x' }]),
    patch('json', `${configMaps}/jp`, [{ op: 'copy', from: '/data/absent', path: '/data/x' }]),
    patch('json', `${configMaps}/jp`, [{ op: 'nonsense', path: '/data/x' }]),
    patch('json', `${configMaps}/jp`, [{ op: 'add', path: '/data/v' }]),
    patch('json', `${configMaps}/jp`, [{ op: 'add', path: '/data', value: null }]),
    patch('json', `${configMaps}/jp`, [{ op: 'add', value: 'x' }]),
    patch('json', `${configMaps}/jp`, [{ op: 'add', path: '', value: {} }]),
    patch('json', `${configMaps}/jp`, []),
    patch('json', `${configMaps}/jp`, {}),
    patch('json', `${configMaps}/jp`, [1]),
    patch('json', `${configMaps}/jp`, 'nonsense'),
    patch('json', `${configMaps}/jp`, [{ op: 'add', path: '/data/x', value: 'y', extra: 1 }], {
      fieldValidation: 'Strict',
    }),
    patch('json', `${configMaps}/jp`, [{ op: 'add', path: '/data/x', value: 'y', extra: 1 }]),
    patch('json', `${configMaps}/jp`, [{ op: 'add', path: '/data/x', value: { a: 1 } }]),
    patch(
      'json',
      `${configMaps}/jp`,
      Array.from({ length: 10_001 }, () => ({ op: 'test', path: '/data/x', value: 'y' })),
    ),
  ],
  'creations that are refused': [
    create(configMaps, { apiVersion: 'v1', kind: 'ConfigMap', metadata: {} }),
    create(configMaps, { apiVersion: 'v1', kind: 'ConfigMap' }),
    create(configMaps, { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'x' } }),
    create(configMaps, { apiVersion: 'v2', kind: 'ConfigMap', metadata: { name: 'x' } }),
    create(configMaps, { kind: 'ConfigMap', metadata: { name: 'x' } }),
    create(configMaps, { apiVersion: 'v1', metadata: { name: 'x' } }),
    create(configMaps, objectAt(configMaps, 'Upper_Case')),
    create(configMaps, objectAt(configMaps, 'refused', { metadata: { namespace: 'other' } })),
    create(configMaps, objectAt(configMaps, 'refused', { metadata: { resourceVersion: '1' } })),
    create(configMaps, objectAt(configMaps, 'refused', { metadata: { labels: { '-': 'a', b: '!' } } })),
    create(configMaps, objectAt(configMaps, 'refused', { data: { 'a b': 'c' }, binaryData: { a: 'YQ==' } })),
    create(configMaps, objectAt(configMaps, 'refused', { unknown: 1, data: { a: 'b' } }), {
      fieldValidation: 'Strict',
    }),
    create(configMaps, objectAt(configMaps, 'refused', { data: { a: 1 } })),
    create(configMaps, objectAt(configMaps, 'refused', { data: [] })),
    create('/api/v1/namespaces/absent/configmaps', objectAt(configMaps, 'refused')),
    create(secrets, objectAt(secrets, 'refused', { data: { a: 'no base64!' } })),
    create(configMaps, objectAt(configMaps, 'refused', { data: { a: 'b' } }), { dryRun: 'Some' }),
    create(configMaps, objectAt(configMaps, 'refused', { data: { a: 'b' } }), { fieldValidation: 'Maybe' }),
    create(configMaps, objectAt(configMaps, 'warned', { unknown: 1 })),
    create(configMaps, objectAt(configMaps, 'warned')),
    get(configMaps, 'refused'),
  ],
};
