import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type KubeObject, findReferences } from '@selvedge/api';
import { withForeignEscaped } from './foreign-references.ts';

const configMap = (text: string): KubeObject & { data: Record<string, string> } => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'x' },
  data: { text },
});

const escaped = (text: string): string | undefined =>
  (withForeignEscaped([configMap(text)])[0] as ReturnType<typeof configMap>).data['text'];

test('what scripts write means itself, references of ours stay', () => {
  assert.equal(
    escaped('echo ${HOME} ${1:-x} ${site.name} $${literal} ${'),
    'echo $${HOME} $${1:-x} ${site.name} $${literal} $${',
  );
  assert.equal(escaped('${site.variable.city}'), '${site.variable.city}');
  assert.equal(escaped('${variablesome}'), '$${variablesome}');
});

test('nothing is left that a site would not know', () => {
  const manifests = withForeignEscaped([configMap('${a} ${b${c}} ${d')]);
  assert.deepEqual(findReferences(manifests), []);
});

test('what holds none is not copied', () => {
  const manifest = configMap('plain');
  assert.equal(withForeignEscaped([manifest])[0], manifest);
});
