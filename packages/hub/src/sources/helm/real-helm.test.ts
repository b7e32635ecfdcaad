import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { findTool } from '@selvedge/testkit';
import { SourceError } from '../source-reading.ts';
import { renderChart } from './helm-template.ts';

// No Debian package has it, so it is not asked for in CI either; the contract is tested with a recorded program.
const program = findTool('helm');
const needsHelm = { skip: program === undefined ? 'there is no helm program on this machine' : false };
const { signal } = new AbortController();

async function render(
  templates: Record<string, string>,
  values: Record<string, unknown>[],
): Promise<unknown[]> {
  const folder = await mkdtemp(join(tmpdir(), 'selvedge-real-helm-'));
  try {
    const chart = join(folder, 'chart');
    const files = {
      'Chart.yaml': 'apiVersion: v2\nname: till\nversion: 1.0.0\n',
      'values.yaml': 'color: red\nsize: {width: 1, height: 2}\n',
      ...templates,
    };
    for (const [name, text] of Object.entries(files)) {
      await mkdir(dirname(join(chart, name)), { recursive: true });
      await writeFile(join(chart, name), text);
    }
    return await renderChart({
      program: program ?? 'helm',
      chart,
      folder,
      releaseName: 'shop-till',
      namespace: 'shop',
      values,
      signal,
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const config = `apiVersion: v1
kind: ConfigMap
metadata: {name: "{{ .Release.Name }}", namespace: "{{ .Release.Namespace }}"}
data: {color: "{{ .Values.color }}", size: "{{ .Values.size.width }}x{{ .Values.size.height }}"}
`;
const job = `apiVersion: batch/v1
kind: Job
metadata: {name: before, annotations: {"helm.sh/hook": pre-install}}
`;

test('helm renders with values over values, definitions with it, hooks left out', needsHelm, async () => {
  const templates = {
    'templates/config.yaml': config,
    'templates/job.yaml': job,
    'crds/tills.yaml':
      'apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: tills.shop.example}\n',
  };
  const manifests = await render(templates, [{ color: 'blue' }, { size: { width: 7 } }]);
  assert.deepEqual(manifests, [
    {
      apiVersion: 'apiextensions.k8s.io/v1',
      kind: 'CustomResourceDefinition',
      metadata: { name: 'tills.shop.example' },
    },
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'shop-till', namespace: 'shop' },
      data: { color: 'blue', size: '7x2' },
    },
  ]);
});

test('helm renders nothing where everything is switched off', needsHelm, async () => {
  assert.deepEqual(
    await render({ 'templates/config.yaml': `{{ if .Values.on }}\n${config}{{ end }}` }, []),
    [],
  );
});

test('helm is stopped by a template that includes itself', needsHelm, async () => {
  const templates = {
    'templates/_a.tpl': '{{ define "a" }}{{ include "a" . }}{{ end }}',
    'templates/config.yaml': '{{ include "a" . }}',
  };
  await assert.rejects(render(templates, []), SourceError);
});

test('helm fails without the dependencies of the chart', needsHelm, async () => {
  const chart =
    'apiVersion: v2\nname: till\nversion: 1.0.0\ndependencies: [{name: common, version: 1.x, repository: "https://charts.example"}]\n';
  await assert.rejects(
    render({ 'Chart.yaml': chart, 'templates/config.yaml': config }, []),
    /nothing is fetched here/,
  );
});
