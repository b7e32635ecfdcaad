import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { agentManifests, defaultAgentInstall, type KubeObject, resolveInstall } from '@selvedge/api';
import { parse, parseAllDocuments } from 'yaml';
import { chartDirectory, chartTemplates } from './chart-templates.ts';
import { renderTemplate } from './render-template.ts';

const read = (path: string) => readFileSync(join(chartDirectory, path), 'utf8');
const defaults = parse(read('values.yaml')) as Record<string, unknown>;
const token = 'selvedge1.abc';

const render = (values: Record<string, unknown>, namespace = 'selvedge-system'): KubeObject[] =>
  readdirSync(join(chartDirectory, 'templates')).flatMap((name) =>
    parseAllDocuments(
      renderTemplate(read(`templates/${name}`), {
        Values: { ...defaults, token, ...values },
        Release: { Namespace: namespace },
      }),
    )
      .map((document) => document.toJS() as KubeObject | null)
      .filter((object) => object !== null),
  );
const byName = (objects: readonly KubeObject[]) =>
  Object.fromEntries(objects.map((object) => [`${object.kind} ${object.metadata.name}`, object]));
/** The policy is the chart's only: in manifests it is what Kubernetes makes of it. */
const expected = (wish: Parameters<typeof resolveInstall>[0]) =>
  byName(
    agentManifests(resolveInstall(wish), token)
      .filter(({ kind }) => kind !== 'Namespace')
      .map((object) =>
        object.kind === 'Deployment'
          ? (JSON.parse(
              JSON.stringify(object).replace(/("image":"[^"]*")/, '$1,"imagePullPolicy":"IfNotPresent"'),
            ) as KubeObject)
          : object,
      ),
  );

describe('Helm chart of the agent', () => {
  test('has the templates that its generator makes (node tools/helm/chart-templates.ts writes them)', () => {
    const files = Object.fromEntries(
      readdirSync(join(chartDirectory, 'templates')).map((name) => [name, read(`templates/${name}`)]),
    );
    assert.deepEqual(files, chartTemplates());
  });

  test('installs what "selvedge site manifest" prints, for every choice of rights', () => {
    assert.deepEqual(byName(render({})), expected({}));
    for (const rbac of ['minimal', 'applications', 'cluster-admin']) {
      assert.deepEqual(byName(render({ rbac }, 'edge')), expected({ rbac, namespace: 'edge' }));
    }
    const wish = { link: true, allow: ['certificates.cert-manager.io'], proxy: 'http://proxy.example:3128' };
    const { extraRules } = resolveInstall(wish);
    assert.deepEqual(byName(render({ link: true, extraRules, proxy: wish.proxy })), expected(wish));
    assert.deepEqual(
      byName(render({ mirrorNamespaces: 'shop,till' })),
      expected({ mirrorNamespaces: ['shop', 'till'] }),
    );
    assert.deepEqual(
      byName(render({ priorityClassName: 'important' })),
      expected({ priorityClassName: 'important' }),
    );
  });

  test('takes a Secret that is there, and places for the pod', () => {
    const objects = render({
      existingTokenSecret: 'mine',
      tolerations: [{ key: 'edge', operator: 'Exists' }],
      imagePullSecrets: [{ name: 'registry' }],
    });
    assert.ok(!objects.some(({ kind }) => kind === 'Secret'));
    const pod = (
      objects.find(({ kind }) => kind === 'Deployment') as unknown as {
        spec: { template: { spec: Record<string, unknown> } };
      }
    ).spec.template.spec;
    assert.deepEqual(pod['tolerations'], [{ key: 'edge', operator: 'Exists' }]);
    assert.deepEqual(pod['imagePullSecrets'], [{ name: 'registry' }]);
    const volumes = pod['volumes'] as { secret?: { secretName: string } }[];
    assert.equal(volumes[1]?.secret?.secretName, 'mine');
  });

  test('has a schema for every value, and the version and image of the product', () => {
    const schema = JSON.parse(read('values.schema.json')) as { properties: object };
    assert.deepEqual(Object.keys(schema.properties).sort(), ['global', ...Object.keys(defaults)].sort());
    const chart = parse(read('Chart.yaml')) as { version: string; appVersion: string };
    const image = defaults['image'] as { repository: string; tag: string };
    assert.equal(`${image.repository}:${image.tag}`, defaultAgentInstall.image);
    assert.deepEqual([chart.version, chart.appVersion], [image.tag, image.tag]);
  });
});
