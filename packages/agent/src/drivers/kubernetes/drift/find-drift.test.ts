import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type ApplyRules, type KubeObject, type ManagedFieldsEntry, StatusError } from '@selvedge/api';
import fc from 'fast-check';
import type { PlannedObject } from '../release/planned-object.ts';
import { type DriftFinding, findDrift } from './drift-check.ts';
import { lostFields } from './find-drift.ts';

const none = new Set<string>();

/** Our entry for `planned`, as kube-apiserver 1.36 writes it. */
const ownFields = (): Record<string, unknown> => ({
  'f:metadata': { 'f:labels': { 'f:app': {} } },
  'f:spec': {
    'f:replicas': {},
    'f:selector': {},
    'f:template': {
      'f:spec': {
        'f:containers': {
          'k:{"name":"web"}': {
            '.': {},
            'f:command': {},
            'f:env': { 'k:{"name":"A"}': { '.': {}, 'f:name': {}, 'f:value': {} } },
            'f:image': {},
            'f:name': {},
            'f:ports': {
              'k:{"containerPort":443,"protocol":"TCP"}': {
                '.': {},
                'f:containerPort': {},
                'f:protocol': {},
              },
              'k:{"containerPort":80,"protocol":"TCP"}': { '.': {}, 'f:containerPort': {} },
            },
            'f:resources': { 'f:limits': { 'f:cpu': {} } },
          },
        },
        'f:nodeSelector': {},
        'f:volumes': { 'k:{"name":"tmp"}': { '.': {}, 'f:emptyDir': {}, 'f:name': {} } },
      },
    },
  },
});

const planned: PlannedObject = {
  ref: { apiVersion: 'apps/v1', kind: 'Deployment', namespace: 'shop', name: 'web' },
  object: {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'web', namespace: 'shop', labels: { app: 'web' } },
    spec: {
      replicas: 2,
      selector: { matchLabels: { app: 'web' } },
      template: {
        spec: {
          containers: [
            {
              name: 'web',
              image: 'web:1',
              command: ['sleep', '1'],
              env: [{ name: 'A', value: '1' }],
              ports: [{ containerPort: 80 }, { containerPort: 443, protocol: 'TCP' }],
              resources: { limits: { cpu: 0.5 } },
            },
          ],
          nodeSelector: {},
          volumes: [{ name: 'tmp', emptyDir: {} }],
        },
      },
    },
  },
};

interface Live {
  metadata: KubeObject['metadata'];
  spec: {
    replicas: number;
    template: {
      spec: { containers: { name: string; image: string; command?: string[]; ports?: object[] }[] };
    };
  };
}

/** What is there: other notation, defaults, and things of others. */
function live(change: (object: Live) => void = () => undefined, others: object[] = []): KubeObject {
  const object = {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: {
      name: 'web',
      namespace: 'shop',
      uid: 'u',
      generation: 1,
      resourceVersion: '7',
      labels: { app: 'web' },
      annotations: { 'deployment.kubernetes.io/revision': '1' },
      managedFields: [
        {
          manager: 'selvedge',
          operation: 'Apply',
          apiVersion: 'apps/v1',
          fieldsType: 'FieldsV1',
          fieldsV1: ownFields(),
        },
        ...others,
      ] as ManagedFieldsEntry[],
    },
    spec: {
      replicas: 2,
      progressDeadlineSeconds: 600,
      selector: { matchLabels: { app: 'web' } },
      template: {
        spec: {
          containers: [
            { name: 'sidecar', image: 'mesh:1' },
            {
              name: 'web',
              image: 'web:1',
              command: ['sleep', '1'],
              env: [{ name: 'A', value: '1' }],
              ports: [
                { containerPort: 80, protocol: 'TCP' },
                { containerPort: 443, protocol: 'TCP' },
              ],
              resources: { limits: { cpu: '500m' } },
            },
          ],
          volumes: [{ name: 'tmp', emptyDir: {} }],
        },
      },
    },
  };
  change(object as unknown as Live);
  return object as unknown as KubeObject;
}

/** Takes a field from us, as an API server does when somebody changes it: what is left empty goes too. */
function lose(object: Live, ...path: string[]): void {
  const remove = (set: Record<string, unknown>, [name = '', ...rest]: readonly string[]): void => {
    const child = set[name] as Record<string, unknown> | undefined;
    if (child && rest.length > 0) remove(child, rest);
    if (child && (rest.length === 0 || Object.keys(child).length === 0)) delete set[name];
  };
  remove(object.metadata.managedFields?.[0]?.fieldsV1 ?? {}, path);
}
const webFields = ['f:spec', 'f:template', 'f:spec', 'f:containers', 'k:{"name":"web"}'];
const scaled = {
  manager: 'kube-controller-manager',
  operation: 'Update',
  apiVersion: 'apps/v1',
  subresource: 'scale',
  fieldsType: 'FieldsV1',
  fieldsV1: { 'f:spec': { 'f:replicas': {} } },
};

/** Asks as the observer does; `applied`: what a dry run answers. */
async function check(
  object: KubeObject,
  options: {
    applied?: KubeObject | StatusError;
    rules?: ApplyRules;
    isAutoscaled?: boolean;
    known?: DriftFinding;
  } = {},
) {
  const asked: string[] = [];
  const finding = await findDrift(
    { planned, rules: options.rules ?? {}, metadata: object.metadata, known: options.known },
    {
      isAutoscaled: async () => {
        asked.push('autoscalers');
        return options.isAutoscaled === true;
      },
      read: async () => {
        asked.push('read');
        return object;
      },
      dryRun: async () => {
        asked.push('dry run');
        const { applied } = options;
        if (applied instanceof StatusError) throw applied;
        return applied ?? live();
      },
    },
  );
  return { fields: finding?.fields ?? [], asked, finding };
}

describe('drift', () => {
  test('is not asked for while all our fields are ours, whatever their notation and whatever others add', async () => {
    assert.deepEqual(lostFields(planned, live(), none), []);
    const { fields, asked } = await check(
      live((o) => (o.spec.template.spec.containers[0] = { name: 'sidecar', image: 'mesh:2' })),
    );
    assert.deepEqual([fields, asked], [[], []]);
  });

  test('names the field that somebody changed, by its place in the release', async () => {
    const changed = live((object) => {
      const web = object.spec.template.spec.containers[1];
      if (web) web.image = 'web:hacked';
      lose(object, ...webFields, 'f:image');
    });
    const { fields, asked } = await check(changed);
    assert.deepEqual(fields, ['/spec/template/spec/containers/0/image']);
    assert.deepEqual(asked, ['read', 'dry run']);
  });

  test('names what was taken away: an item of a list, a label', async () => {
    const changed = live((object) => {
      object.spec.template.spec.containers[1]?.ports?.shift();
      lose(object, ...webFields, 'f:ports', 'k:{"containerPort":80,"protocol":"TCP"}');
      object.metadata.labels = {};
      lose(object, 'f:metadata', 'f:labels', 'f:app');
    });
    assert.deepEqual((await check(changed)).fields, [
      '/metadata/labels/app',
      '/spec/template/spec/containers/0/ports/0',
    ]);
  });

  test('is none when somebody took a field and left its value', async () => {
    const changed = live((object) => lose(object, ...webFields, 'f:image'));
    const first = await check(changed);
    assert.deepEqual(first.fields, []);
    assert.ok(first.finding);
    const again = await check(changed, { known: first.finding });
    assert.deepEqual(again.asked, [], 'what was found out is not asked again');
  });

  test('is found when our whole entry is gone', async () => {
    const changed = live((object) => {
      object.metadata.managedFields = [];
      object.spec.replicas = 5;
    });
    assert.deepEqual(lostFields(planned, changed, none), ['']);
    assert.deepEqual((await check(changed)).fields, ['/spec/replicas']);
  });

  test('leaves out what is to be ignored', async () => {
    const changed = live((object) => {
      object.spec.replicas = 5;
      lose(object, 'f:spec', 'f:replicas');
    });
    const ignoreDifferences = [
      { apiVersion: 'apps/v1', kind: 'Deployment', jsonPointers: ['/spec/replicas'] },
    ];
    const { fields, asked } = await check(changed, { rules: { ignoreDifferences } });
    assert.deepEqual([fields, asked], [[], []]);
    assert.deepEqual((await check(changed, { rules: { drift: 'Ignore' } })).asked, []);
  });

  test('leaves replicas to an autoscaler, and not to kubectl scale', async () => {
    const changed = live(
      (object) => {
        object.spec.replicas = 5;
        lose(object, 'f:spec', 'f:replicas');
      },
      [scaled],
    );
    assert.deepEqual((await check(changed, { isAutoscaled: true })).fields, []);
    assert.deepEqual((await check(changed, { isAutoscaled: false })).fields, ['/spec/replicas']);
  });

  test('that cannot be put back is told by what plainly differs; what may pass is thrown', async () => {
    const changed = live((object) => {
      object.spec.replicas = 5;
      lose(object, 'f:spec', 'f:replicas');
    });
    const refused = new StatusError('Invalid', 'field is immutable');
    assert.deepEqual((await check(changed, { applied: refused })).fields, ['/spec/replicas']);
    const away = new StatusError('ServiceUnavailable', 'webhook away');
    await assert.rejects(check(changed, { applied: away }), away);
  });

  test('is lost exactly where our entry has lost a field', () => {
    const leaves = [
      [['f:spec', 'f:replicas'], '/spec/replicas'],
      [['f:spec', 'f:selector'], '/spec/selector'],
      [['f:metadata', 'f:labels', 'f:app'], '/metadata/labels/app'],
      [[...webFields, 'f:image'], '/spec/template/spec/containers/0/image'],
      [[...webFields, 'f:command'], '/spec/template/spec/containers/0/command'],
      [
        [...webFields, 'f:resources', 'f:limits', 'f:cpu'],
        '/spec/template/spec/containers/0/resources/limits/cpu',
      ],
      [
        ['f:spec', 'f:template', 'f:spec', 'f:volumes', 'k:{"name":"tmp"}', 'f:emptyDir'],
        '/spec/template/spec/volumes/0/emptyDir',
      ],
    ] as const;
    fc.assert(
      fc.property(fc.subarray([...leaves]), (gone) => {
        const object = live((o) => {
          for (const [path] of gone) lose(o, ...path);
        });
        const lost = lostFields(planned, object, none);
        const isBelow = (pointer: string, other: string) =>
          pointer === other || pointer.startsWith(`${other}/`);
        for (const [, pointer] of gone)
          assert.ok(
            lost.some((other) => isBelow(pointer, other)),
            pointer,
          );
        for (const other of lost)
          assert.ok(
            gone.some(([, pointer]) => isBelow(pointer, other)),
            other,
          );
      }),
    );
  });
});
