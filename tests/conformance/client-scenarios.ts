import type { Step } from './comparison.ts';
import {
  apply,
  configMaps,
  create,
  edit,
  get,
  objectAt,
  patch,
  secrets,
  update,
  widgets,
} from './requests.ts';

type Json = Record<string, unknown>;

const spec = (object: Json): Json => object['spec'] as Json;
const metadata = (object: Json): Json => object['metadata'] as Json;
const widget = (name: string, given: Json = {}) => objectAt(widgets, name, given);

/** What clients do with managed fields, and what of it is refused or forgiven; each on objects of its own. */
export const clientScenarios: Readonly<Record<string, readonly Step[]>> = {
  'a client may move ownership, forget it, or send nonsense': [
    create(widgets, widget('moved', { spec: { replicas: 1, tags: ['a'] } })),
    patch('json', `${widgets}/moved`, [
      { op: 'replace', path: '/metadata/managedFields/0/manager', value: 'kubectl' },
      { op: 'replace', path: '/metadata/managedFields/0/operation', value: 'Apply' },
    ]),
    patch('json', `${widgets}/moved`, [
      {
        op: 'replace',
        path: '/metadata/managedFields/0/fieldsV1',
        value: { 'f:spec': { 'f:tags': { 'v:"a"': {}, 'v: "b"': {} }, 'k:{"b":1, "a":2}': {}, 'x:y': {} } },
      },
    ]),
    patch('json', `${widgets}/moved`, [
      { op: 'replace', path: '/metadata/managedFields/0/fieldsType', value: 'FieldsV2' },
    ]),
    patch('merge', `${widgets}/moved`, {
      metadata: { managedFields: [{ manager: 'm', operation: 'Nothing' }] },
    }),
    patch('merge', `${widgets}/moved`, { metadata: { managedFields: null } }),
    patch('merge', `${widgets}/moved`, { metadata: { managedFields: [{}] } }),
    patch('merge', `${widgets}/moved`, { spec: { replicas: 7 } }),
    apply(widgets, 'moved', { spec: { replicas: 7 } }),
    apply(widgets, 'moved', { spec: { replicas: 8 } }),
    patch('merge', `${widgets}/moved`, { metadata: { managedFields: [] }, spec: { replicas: 9 } }),
    apply(widgets, 'moved', { spec: { color: 'red' }, status: { phase: 'x' } }, { subresource: 'status' }),
  ],
  'an empty list of managers': [
    create(configMaps, objectAt(configMaps, 'forgotten', { data: { a: 'b' } })),
    patch('merge', `${configMaps}/forgotten`, { metadata: { managedFields: [] }, data: { a: 'c' } }),
    apply(configMaps, 'forgotten', { data: { d: 'e' } }),
    apply(configMaps, 'forgotten', { data: { a: 'f' } }),
  ],
  'managed fields of a created object': [
    create(
      widgets,
      widget('brought', {
        metadata: {
          managedFields: [
            {
              manager: 'm',
              operation: 'Apply',
              apiVersion: 'comparison.example.dev/v1',
              fieldsType: 'FieldsV1',
              fieldsV1: { 'f:spec': { 'f:replicas': {} } },
            },
          ],
        },
        spec: { replicas: 1, color: 'red' },
      }),
    ),
    create(widgets, widget('brought2', { metadata: { managedFields: [{}] }, spec: { replicas: 1 } })),
    create(
      widgets,
      widget('brought3', { metadata: { managedFields: [{ manager: 'm' }] }, spec: { replicas: 1 } }),
    ),
    apply(widgets, 'brought', { metadata: { managedFields: [] }, spec: { replicas: 1 } }),
    apply(widgets, 'brought', { metadata: { managedFields: [{ manager: 'm' }] }, spec: { replicas: 1 } }),
    apply(widgets, 'brought', { metadata: { managedFields: null }, spec: { replicas: 1 } }),
  ],
  'preconditions of apply': [
    apply(widgets, 'pre', { metadata: { resourceVersion: '1' }, spec: { replicas: 1 } }),
    apply(widgets, 'pre', {
      metadata: { uid: '00000000-0000-0000-0000-000000000000' },
      spec: { replicas: 1 },
    }),
    apply(widgets, 'pre', { spec: { replicas: 1 } }),
    apply(widgets, 'pre', { metadata: { resourceVersion: '1' }, spec: { replicas: 2 } }),
    apply(widgets, 'pre', {
      metadata: { uid: '00000000-0000-0000-0000-000000000000' },
      spec: { replicas: 2 },
    }),
    (last) =>
      apply(widgets, 'pre', {
        metadata: { resourceVersion: metadata(last)['resourceVersion'], uid: metadata(last)['uid'] },
        spec: { replicas: 2 },
      }),
    apply(widgets, 'pre', { metadata: { generateName: 'g' }, spec: { replicas: 2 } }),
    apply(widgets, 'pre', {
      metadata: { creationTimestamp: null, namespace: 'default' },
      spec: { replicas: 2 },
    }),
    apply(widgets, 'pre', { metadata: { name: 'other' } }),
    apply(widgets, 'pre', { metadata: { namespace: 'other' } }),
    apply(widgets, 'pre', { apiVersion: 'v1' }),
    apply(widgets, 'pre', { kind: 'Other' }),
  ],
  'what cannot be applied': [
    apply(widgets, 'bad', { spec: { unknown: 1 } }),
    apply(widgets, 'bad', { spec: { unknown: 1 } }, { parameters: { fieldValidation: 'Ignore' } }),
    apply(widgets, 'bad', { spec: { tags: ['a', 'a'] } }),
    apply(widgets, 'bad', { spec: { ports: [{ port: 1 }, { port: 1, protocol: 'TCP' }] } }),
    apply(widgets, 'bad', { spec: { parts: [{ count: 1 }] } }),
    apply(widgets, 'bad', { spec: { replicas: 'x' } }),
    apply(widgets, 'bad', { spec: { percent: 1000, color: 'pink' } }),
    apply(widgets, 'bad', { spec: {} }, { manager: '' }),
    apply(widgets, 'bad', { spec: {} }, { manager: 'x'.repeat(129) }),
    apply(widgets, 'bad', { spec: {} }, { parameters: { force: 'yes' } }),
    apply(widgets, 'bad', { spec: {} }, { manager: 'a\nb' }),
    patch('merge', `${widgets}/bad`, {}, { force: 'true' }),
  ],
  'nulls in an applied configuration': [
    apply(widgets, 'null', {
      spec: { replicas: 1, color: 'red', remark: 'r', tags: ['a'], labels: { a: 'b' }, place: { city: 'c' } },
    }),
    apply(widgets, 'null', { spec: { remark: null } }),
    apply(widgets, 'null', { spec: { mode: null } }),
    apply(widgets, 'null', { spec: { place: null, free: { x: null } } }),
    apply(widgets, 'null', { spec: { percent: null } }),
    apply(widgets, 'null', { spec: { tags: null } }),
    apply(widgets, 'null', { spec: null }),
    apply(configMaps, 'null', { data: null }),
    apply(configMaps, 'null', { data: { a: null } }),
    apply(configMaps, 'null', { metadata: { labels: null } }),
  ],
  'twins in lists': [
    create(
      configMaps,
      objectAt(configMaps, 'twins', { metadata: { finalizers: ['a.dev/b', 'a.dev/b', 'a.dev/c'] } }),
    ),
    apply(configMaps, 'twins', { metadata: { finalizers: ['a.dev/c'] } }),
    apply(configMaps, 'twins', { metadata: { finalizers: ['a.dev/b'] } }),
    patch('merge', `${configMaps}/twins`, { metadata: { finalizers: null } }),
  ],
  'many updating managers': [
    create(configMaps, objectAt(configMaps, 'many', { data: { k: '0' } })),
    ...Array.from({ length: 14 }, (_, i) =>
      patch(
        'merge',
        `${configMaps}/many`,
        { data: { [`k${i}`]: 'v' } },
        { fieldManager: `m${String(i).padStart(2, '0')}` },
      ),
    ),
    apply(configMaps, 'many', { data: { k: '1' } }, { force: true }),
  ],
  'owner references and finalizers': [
    apply(configMaps, 'owned', {
      metadata: {
        ownerReferences: [
          {
            apiVersion: 'nowhere.dev/v1',
            kind: 'Nothing',
            name: 'a',
            uid: '11111111-1111-1111-1111-111111111111',
          },
        ],
        finalizers: ['a.dev/b'],
      },
    }),
    apply(
      configMaps,
      'owned',
      {
        metadata: {
          ownerReferences: [
            {
              apiVersion: 'nowhere.dev/v1',
              kind: 'Nothing',
              name: 'b',
              uid: '22222222-2222-2222-2222-222222222222',
              controller: true,
            },
          ],
          finalizers: ['a.dev/c'],
        },
      },
      { manager: 'two' },
    ),
    apply(configMaps, 'owned', {}),
    apply(configMaps, 'owned', {}, { manager: 'two' }),
  ],
  'secrets, with stringData': [
    apply(secrets, 'secret', { stringData: { a: 'b', c: 'd' }, data: { e: 'Zg==' } }),
    apply(secrets, 'secret', { stringData: { a: 'x' }, data: { e: 'Zg==' } }),
    apply(secrets, 'secret', { data: { a: 'eA==' } }),
    apply(secrets, 'secret', {}),
    create(secrets, objectAt(secrets, 'secret2', { stringData: { a: 'b' }, type: 'x/y' })),
    apply(secrets, 'secret2', { stringData: { a: 'c' } }),
    patch('strategic', `${secrets}/secret2`, { stringData: { z: 'y' } }),
    patch('merge', `${secrets}/secret2`, { data: { z: null } }),
  ],
  'client-side apply becomes server-side apply': [
    create(
      widgets,
      widget('csa', {
        metadata: {
          annotations: {
            'kubectl.kubernetes.io/last-applied-configuration':
              '{"apiVersion":"comparison.example.dev/v1","kind":"Widget","metadata":{"annotations":{},"name":"csa","namespace":"default"},"spec":{"color":"red","replicas":1,"tags":["a"]}}\n',
          },
        },
        spec: { replicas: 1, color: 'red', tags: ['a'] },
      }),
      { fieldManager: 'kubectl-client-side-apply' },
    ),
    apply(widgets, 'csa', { spec: { replicas: 2, color: 'red' } }, { manager: 'other' }),
    apply(widgets, 'csa', { spec: { replicas: 2, color: 'red' } }, { manager: 'kubectl' }),
    patch('merge', `${widgets}/csa`, { spec: { color: 'blue' } }),
    apply(widgets, 'csa', { spec: { replicas: 3, color: 'green' } }, { manager: 'kubectl' }),
    apply(
      widgets,
      'csa',
      {
        metadata: {
          annotations: { 'kubectl.kubernetes.io/last-applied-configuration': 'x', other: 'y' },
          labels: { a: 'b' },
        },
        spec: { replicas: 3 },
      },
      { manager: 'kubectl', force: true },
    ),
    apply(
      widgets,
      'csa',
      { metadata: { annotations: { other: 'y' } } },
      { manager: 'kubectl-last-applied', force: true },
    ),
  ],
  'dry runs store nothing': [
    apply(widgets, 'dry', { spec: { replicas: 1 } }, { parameters: { dryRun: 'All' } }),
    get(widgets, 'dry'),
    apply(widgets, 'dry', { spec: { replicas: 1 } }),
    apply(widgets, 'dry', { spec: { replicas: 2, tags: ['a'] } }, { parameters: { dryRun: 'All' } }),
    patch('merge', `${widgets}/dry`, { spec: { replicas: 3 } }, { dryRun: 'All' }),
    get(widgets, 'dry'),
  ],
  'updates that change nothing own nothing': [
    apply(widgets, 'still', { spec: { replicas: 1 } }),
    edit(widgets, () => undefined),
    patch('merge', `${widgets}/still`, { spec: { replicas: 1 } }),
    edit(widgets, (o) => {
      delete metadata(o)['managedFields'];
    }),
    edit(widgets, (o) => {
      metadata(o)['labels'] = {};
    }),
    edit(widgets, (o) => {
      spec(o)['tags'] = [];
    }),
    update(widgets, widget('still', { spec: { replicas: 1 } })),
  ],
  'preserved and free-form values': [
    apply(widgets, 'free', {
      spec: { free: { a: { b: 1, c: [1, { d: 2 }] }, e: 'f' }, half: { known: 'k', x: { y: 'z' } } },
    }),
    apply(widgets, 'free', { spec: { free: { a: { b: 2 } }, half: { x: { w: 1 } } } }, { manager: 'two' }),
    apply(widgets, 'free', { spec: { free: { a: { g: 2 } }, half: { x: { w: 1 } } } }, { manager: 'two' }),
    apply(widgets, 'free', { spec: { free: { a: 'scalar' } } }, { manager: 'two', force: true }),
    patch('merge', `${widgets}/free`, { spec: { free: { a: ['l'], e: { f: 'g' } } } }),
    apply(widgets, 'free', {}),
  ],
};
