import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Application } from '@selvedge/api';
import { validateOverrides } from './validate-overrides.ts';

type Spec = Parameters<typeof validateOverrides>[0];
type Override = NonNullable<Application['spec']['overrides']>[number];

const manifest = (text: string) => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'page' },
  data: { text },
});
const inline = (...manifests: object[]) => ({ inline: { manifests } }) as Application['spec']['source'];
const spec = (changes: Partial<Spec>): Spec => ({ source: inline(manifest('')), ...changes });
const override = (changes: Partial<Override>): Override => ({
  name: 'de',
  siteSelector: { matchLabels: { country: 'de' } },
  ...changes,
});
const patch = (changes: object): Override =>
  override({
    patches: [{ target: { kind: 'Deployment' }, ...changes } as NonNullable<Override['patches']>[number]],
  });

describe('overrides, variables and Secrets of an Application', () => {
  test('that make sense are taken', () => {
    const faults = validateOverrides(
      spec({
        source: inline(manifest('${variables.city} ${site.labels.example.com/size} $${variables.x}')),
        variables: [
          { name: 'city', from: [{ siteLabel: 'example.com/city' }, { siteVariable: 'city' }] },
          {
            name: 'tax',
            from: [{ configMapKeyRef: { name: 'taxes', key: '${site.name}.tax' } }],
            default: 19,
          },
        ],
        secrets: [{ name: 'keys' }, { name: 'other', as: 'till.keys' }],
        overrides: [
          override({
            images: [{ name: 'registry.example:5000/till', newName: 'mirror/till', newTag: '2' }],
            replicas: [{ name: 'till', count: 0 }],
            patches: [
              {
                target: { labelSelector: { matchExpressions: [{ key: 'app', operator: 'Exists' }] } },
                jsonPatch: [{ op: 'add', path: '/metadata/annotations/a~1b', value: '${variables.tax}' }],
              },
              { target: {}, mergePatch: { data: { text: '${variables.city}' } }, optional: true },
            ] as NonNullable<Override['patches']>,
          }),
        ],
      }),
    );
    assert.deepEqual(faults, []);
    assert.deepEqual(validateOverrides(spec({})), []);
  });

  const wrong: readonly (readonly [what: string, changes: Partial<Spec>, field: string, message: RegExp])[] =
    [
      [
        'two overrides of one name',
        {
          overrides: [
            override({ replicas: [{ name: 'a', count: 1 }] }),
            override({ replicas: [{ name: 'b', count: 1 }] }),
          ],
        },
        'spec.overrides[1].name',
        /Duplicate value/,
      ],
      ['one that changes nothing', { overrides: [override({})] }, 'spec.overrides[0]', /say what differs/],
      [
        'a selector that is none',
        {
          overrides: [
            override({ siteSelector: { matchLabels: { 'a b': 'x' } }, replicas: [{ name: 'a', count: 1 }] }),
          ],
        },
        'spec.overrides[0].siteSelector.matchLabels',
        /name part must consist/,
      ],
      [
        'Helm values where there is no chart',
        { overrides: [override({ helmValues: { a: 1 } })] },
        'spec.overrides[0].helmValues',
        /goes with source helm/,
      ],
      [
        'an image with its tag',
        { overrides: [override({ images: [{ name: 'till:1', newTag: '2' }] })] },
        'spec.overrides[0].images[0].name',
        /no tag/,
      ],
      [
        'an image that becomes nothing else',
        { overrides: [override({ images: [{ name: 'till' }] })] },
        'spec.overrides[0].images[0]',
        /newName, newTag or digest/,
      ],
      [
        'an operation that is none',
        { overrides: [patch({ jsonPatch: [{ op: 'nuke', path: '/spec' }] })] },
        'spec.overrides[0].patches[0].jsonPatch[0].op',
        /add, remove/,
      ],
      [
        'a pointer that is none',
        { overrides: [patch({ jsonPatch: [{ op: 'move', path: '/a', from: 'b' }] })] },
        'spec.overrides[0].patches[0].jsonPatch[0].from',
        /JSON pointer/,
      ],
      [
        'a reference that is none, in a patch, without its text',
        { overrides: [patch({ mergePatch: { data: { pin: 'x${secret}' } } })] },
        'spec.overrides[0].patches[0].mergePatch.data.pin',
        /"\$\{…\}"/,
      ],
      [
        'a variable that nobody declares, in a manifest',
        { source: inline(manifest('${variables.city}')) },
        'spec.source.inline.manifests[0].data.text',
        /does not declare city/,
      ],
      [
        'and in a patch',
        { overrides: [patch({ mergePatch: { spec: { a: '${variables.city}' } } })] },
        'spec.overrides[0].patches[0].mergePatch.spec.a',
        /does not declare city/,
      ],
      [
        'a label that can be none',
        { variables: [{ name: 'a', from: [{ siteLabel: 'a b' }] }] },
        'spec.variables[0].from[0].siteLabel',
        /name part/,
      ],
      [
        'a key that no ConfigMap can have',
        { variables: [{ name: 'a', from: [{ configMapKeyRef: { name: 'a', key: '${site.labels.x}' } }] }] },
        'spec.variables[0].from[0].configMapKeyRef.key',
        /key of a ConfigMap/,
      ],
      [
        'two Secrets with one name at the site',
        { secrets: [{ name: 'a' }, { name: 'b', as: 'a' }] },
        'spec.secrets[1]',
        /two Secrets/,
      ],
    ];
  for (const [what, changes, field, message] of wrong) {
    test(`${what}: refused by its path`, () => {
      const faults = validateOverrides(spec(changes));
      assert.deepEqual(
        faults.map((fault) => fault.field),
        [field],
      );
      assert.match(faults[0]?.message ?? '', message);
    });
  }
});
