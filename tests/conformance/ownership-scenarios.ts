import type { Step } from './comparison.ts';
import { apply, create, edit, get, gizmos, objectAt, patch, remove, widgets } from './requests.ts';

type Json = Record<string, unknown>;

const spec = (object: Json): Json => object['spec'] as Json;
const widget = (name: string, given: Json = {}) => objectAt(widgets, name, given);
const tcp = { port: 80, protocol: 'TCP' };

/** What server-side apply is made of, a behaviour each; each works on objects of its own. */
export const ownershipScenarios: Readonly<Record<string, readonly Step[]>> = {
  'a created object is owned by who created it, defaults too': [
    create(
      widgets,
      widget('created', {
        metadata: { labels: { a: 'b' }, annotations: { 'x/y': 'z' }, finalizers: ['a.dev/x'] },
        spec: {
          replicas: 1,
          tags: ['b', 'a'],
          sizes: [10, 9, 100],
          notes: ['n'],
          ports: [{ port: 8080 }, { port: 80, name: 'web', labels: { l: 'v' } }],
          labels: { 'b.c/d': 'e', a: '<&>' },
          selector: { s: 't' },
          place: { city: 'Rom', door: {} },
          fixed: { a: 1 },
          limits: { cpu: { min: 1 }, memory: {} },
          free: { x: { y: [{ z: 1 }] }, e: {}, l: [] },
          half: { known: 'k', other: { deep: true } },
          size: '5%',
        },
        status: { phase: 'Ignored' },
      }),
    ),
    get(widgets, 'created'),
    patch('merge', `${widgets}/created`, { metadata: { finalizers: null } }),
    remove(widgets, 'created'),
  ],
  'empty lists and objects': [
    create(
      widgets,
      widget('empty', {
        spec: { tags: [], ports: [], notes: [], labels: {}, place: {}, free: {}, selector: {} },
      }),
    ),
    apply(widgets, 'empty', {
      spec: { tags: [], ports: [], notes: [], labels: {}, place: {}, free: {}, selector: {} },
    }),
    apply(widgets, 'empty', { spec: { tags: ['a'], labels: { a: 'b' }, place: { city: 'c' } } }),
    apply(widgets, 'empty', { spec: { tags: [], labels: {}, place: {} } }),
    apply(widgets, 'empty', {}),
  ],
  'an applied object is owned as far as it was applied': [
    apply(widgets, 'applied', {
      metadata: { labels: { a: 'b' }, finalizers: ['a.dev/x'], annotations: { n: 'o' } },
      spec: {
        replicas: 1,
        tags: ['b', 'a', 'é', '<x>'],
        ports: [{ port: 8080 }, { port: 80, name: 'web', labels: { l: 'v' }, options: {} }],
        parts: [{ name: 'x', sub: [{ key: 'k', value: 'v' }] }],
        labels: { a: 'b' },
        selector: { s: 't' },
        place: { city: 'Rom', door: { floor: 1 } },
        limits: { cpu: { min: 1 } },
        free: { x: { y: [1] }, e: {} },
        size: 5,
      },
    }),
    apply(widgets, 'applied', {
      metadata: { finalizers: [] },
      spec: {
        replicas: 1,
        tags: ['a'],
        ports: [{ port: 8080 }],
        parts: [],
        place: { door: { floor: 1 } },
        free: { x: {} },
      },
    }),
    apply(widgets, 'applied', { spec: {} }),
    apply(widgets, 'applied', {}),
  ],
  'applying the same again changes nothing': [
    apply(widgets, 'same', { spec: { replicas: 1, tags: ['a'] } }),
    apply(widgets, 'same', { spec: { replicas: 1, tags: ['a'] } }),
    apply(widgets, 'same', { spec: { replicas: 1 } }, { manager: 'two' }),
    apply(widgets, 'same', { spec: { replicas: 1 } }, { manager: 'two' }),
    apply(widgets, 'same', {}),
    apply(widgets, 'same', {}, { manager: 'two' }),
  ],
  'a conflict names every manager and field': [
    apply(widgets, 'conflict', {
      spec: { replicas: 1, color: 'red', ports: [{ port: 80, name: 'a' }], tags: ['x'] },
    }),
    apply(widgets, 'conflict', { spec: { replicas: 2 } }, { manager: 'two' }),
    create(widgets, widget('conflict')),
    patch('merge', `${widgets}/conflict`, { spec: { color: 'green', labels: { 'a.b/c': 'd' } } }),
    apply(
      widgets,
      'conflict',
      { spec: { replicas: 2, color: 'blue', ports: [{ port: 80, name: 'b' }], labels: { 'a.b/c': 'e' } } },
      { manager: 'two' },
    ),
    apply(
      widgets,
      'conflict',
      { spec: { replicas: 2, color: 'blue', ports: [{ port: 80, name: 'b' }] } },
      { manager: 'two', force: true },
    ),
    apply(widgets, 'conflict', { spec: { replicas: 1 } }),
    apply(widgets, 'conflict', { spec: { replicas: 2, ports: [tcp] } }),
    patch('merge', `${widgets}/conflict/status`, { status: { phase: 'A' } }),
    apply(widgets, 'conflict', { status: { phase: 'B' } }, { manager: 'two', subresource: 'status' }),
    apply(
      widgets,
      'conflict',
      { status: { phase: 'B' } },
      { manager: 'two', subresource: 'status', force: true },
    ),
  ],
  'fields are handed over': [
    apply(widgets, 'handed', { spec: { replicas: 1, color: 'red' } }),
    apply(widgets, 'handed', { spec: { replicas: 1 } }, { manager: 'two' }),
    apply(widgets, 'handed', { spec: { color: 'red' } }),
    apply(widgets, 'handed', { spec: { replicas: 3 } }, { manager: 'two' }),
    apply(widgets, 'handed', {}, { manager: 'two' }),
  ],
  'items of others': [
    apply(widgets, 'items', {
      spec: { ports: [{ port: 1, name: 'a' }, { port: 2 }], tags: ['a', 'b'], labels: { a: '1', b: '2' } },
    }),
    edit(widgets, (o) => {
      (spec(o)['ports'] as Json[]).push({ port: 3 });
      ((spec(o)['ports'] as Json[])[0] as Json)['labels'] = { x: 'y' };
      spec(o)['tags'] = ['c', 'a', 'b'];
      spec(o)['labels'] = { a: '1', b: '2', c: '3' };
    }),
    apply(widgets, 'items', { spec: { ports: [{ port: 2 }], tags: ['b'], labels: { b: '2' } } }),
    apply(widgets, 'items', { spec: { ports: [], labels: {} } }),
    apply(widgets, 'items', {}),
  ],
  'order of items': [
    apply(widgets, 'order', { spec: { tags: ['a', 'b', 'c'], parts: [{ name: 'a' }, { name: 'b' }] } }),
    apply(
      widgets,
      'order',
      { spec: { tags: ['x', 'b', 'y'], parts: [{ name: 'z' }, { name: 'b' }, { name: 'a' }] } },
      { manager: 'two' },
    ),
    apply(widgets, 'order', { spec: { tags: ['c', 'a', 'b', 'n'], parts: [{ name: 'b' }, { name: 'a' }] } }),
    apply(widgets, 'order', { spec: { tags: ['c', 'b', 'a', 'n'], parts: [{ name: 'b' }, { name: 'a' }] } }),
  ],
  'items removed by an update and set again': [
    apply(widgets, 'removed', {
      spec: { ports: [{ port: 1, name: 'a' }], tags: ['a'], place: { city: 'c', door: { floor: 1 } } },
    }),
    edit(widgets, (o) => {
      spec(o)['ports'] = [];
      spec(o)['tags'] = [];
      delete spec(o)['place'];
    }),
    edit(widgets, (o) => {
      spec(o)['ports'] = [{ port: 1, name: 'b' }];
      spec(o)['place'] = { city: 'c' };
    }),
    apply(widgets, 'removed', { spec: { ports: [{ port: 1, name: 'a' }], tags: ['a'] } }),
    edit(widgets, (o) => {
      delete o['spec'];
    }),
  ],
  'status through its own door': [
    apply(widgets, 'status', { spec: { replicas: 1 }, status: { phase: 'no' } }),
    apply(
      widgets,
      'status',
      { spec: { replicas: 9 }, status: { phase: 'a', conditions: [{ type: 'R', status: 'True' }] } },
      { subresource: 'status' },
    ),
    apply(
      widgets,
      'status',
      { status: { conditions: [{ type: 'R', status: 'True' }] } },
      { subresource: 'status' },
    ),
    patch('merge', `${widgets}/status/status`, {
      status: { replicas: 1, conditions: [{ type: 'R', status: 'False' }, { type: 'S' }] },
    }),
    apply(
      widgets,
      'status',
      { status: { conditions: [{ type: 'R', status: 'True' }] } },
      { subresource: 'status' },
    ),
    apply(widgets, 'status', { status: {} }, { subresource: 'status' }),
    apply(widgets, 'status-none', { status: {} }, { subresource: 'status' }),
    apply(gizmos, 'status', { spec: { replicas: 1 }, status: { phase: 'yes' } }),
    apply(gizmos, 'status', { status: { phase: 'yes' } }, { subresource: 'status' }),
  ],
  'scale through its own door': [
    apply(widgets, 'scaled', { spec: { replicas: 1 } }),
    patch('merge', `${widgets}/scaled/scale`, { spec: { replicas: 3 } }),
    get(widgets, 'scaled'),
    apply(widgets, 'scaled', { spec: { replicas: 1 } }),
    apply(widgets, 'scaled', {}),
  ],
};
