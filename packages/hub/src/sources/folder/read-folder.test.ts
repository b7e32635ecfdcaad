import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { SourceError } from '../source-reading.ts';
import { readFolder } from './read-folder.ts';

const { signal } = new AbortController();
const configMap = (name: string) => `apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: ${name}\n`;

async function folderWith(files: Record<string, string>): Promise<{ root: string } & AsyncDisposable> {
  const root = await mkdtemp(join(tmpdir(), 'selvedge-folder-'));
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text);
  }
  return { root, [Symbol.asyncDispose]: () => rm(root, { recursive: true, force: true }) };
}

async function namesIn(root: string, path = '.'): Promise<string[]> {
  return (await readFolder({ root, path, signal })).map(({ metadata }) => metadata.name);
}

test('the files of a folder are read by path, those with a dot are left out', async () => {
  await using folder = await folderWith({
    'app/b.yaml': `${configMap('b')}---\n${configMap('b2')}---\n`,
    'app/a/one.yml': configMap('one'),
    'app/z.json': JSON.stringify({
      apiVersion: 'v1',
      kind: 'List',
      items: [{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'z' } }],
    }),
    'app/.hidden/x.yaml': configMap('hidden'),
    'app/README.md': 'text',
    'other/values.yaml': 'a: 1',
  });
  assert.deepEqual(await namesIn(folder.root, 'app'), ['one', 'b', 'b2', 'z']);
});

test('a kustomization is rendered, with bases beside it in the same source', async () => {
  await using folder = await folderWith({
    'base/kustomization.yaml': 'resources: [cm.yaml]\n',
    'base/cm.yaml': configMap('till'),
    'overlays/de/kustomization.yaml': 'resources: [../../base]\nnamePrefix: de-\n',
  });
  assert.deepEqual(await namesIn(folder.root, 'overlays/de'), ['de-till']);
});

const refusals: readonly (readonly [
  name: string,
  files: Record<string, string>,
  fault: string,
  message: RegExp,
])[] = [
  [
    'a base outside of the source',
    { 'kustomization.yaml': 'resources: [../elsewhere]\n' },
    'RenderFailed',
    /leads out/,
  ],
  [
    'a base elsewhere',
    { 'kustomization.yaml': 'resources: ["https://host.example/x.yaml"]\n' },
    'RenderFailed',
    /nothing is fetched/,
  ],
  [
    'a repository as base',
    { 'kustomization.yaml': 'resources: [host.example/shop/base]\n' },
    'RenderFailed',
    /not in the source/,
  ],
  [
    'a chart in a kustomization',
    { 'kustomization.yaml': 'helmCharts: [{name: x}]\n' },
    'RenderFailed',
    /helmCharts/,
  ],
  [
    'a file that kustomize must not read',
    { 'kustomization.yaml': 'configMapGenerator: [{name: x, files: [/etc/hostname]}]\n' },
    'RenderFailed',
    /security|root/,
  ],
  ...(
    [
      [
        'in another case',
        'Resources: ["file:///tmp/repository?ref=main"]',
        /Resources is not known.*resources/,
      ],
      ['by a merge key', '<<: {resources: ["../other"]}', /leads out/],
      ['in a folder of generators', 'generators: [g]', /g\/kustomization.yaml: resources.*elsewhere/],
      ['in a component', 'components: [g]', /g\/kustomization.yaml: resources.*elsewhere/],
      ['charts in another case', 'HelmCharts: [{name: x}]', /HelmCharts.*spec.source.helm/],
      [
        'files of a ConfigMap',
        'configMapGenerator: [{name: x, files: ["k=http://host.example/x"]}]',
        /elsewhere/,
      ],
      [
        'files, without a key',
        'configMapGenerator: [{name: x, files: ["HTTP://host.example/x"]}]',
        /elsewhere/,
      ],
      ['variables of a Secret', 'secretGenerator: [{name: x, envs: ["http://host.example/x"]}]', /elsewhere/],
      ['one variable', 'secretGenerator: [{name: x, env: "https:host.example/x"}]', /elsewhere/],
      ['files in another case', 'configMapGenerator: [{name: x, Files: [a]}]', /Files is not known.*files/],
      ['a patch', 'patches: [{path: "https://host.example/x"}]', /patches\[0\].path.*elsewhere/],
      ['a schema', 'openapi: {path: "https://host.example/x"}', /elsewhere/],
      ['a CustomResourceDefinition', 'crds: ["https://host.example/x"]', /elsewhere/],
      ['a repository', 'resources: ["git@host.example:shop/base"]', /elsewhere/],
      ['a generator in a file', 'generators: [g.yaml]', /generators: files.*elsewhere/i],
      [
        'a generator in the text',
        'generators: ["kind: X\\nfiles: [\\"k=http://host.example\\"]"]',
        /elsewhere/,
      ],
    ] as const
  ).map(
    ([what, text, message]) =>
      [
        `an address in a kustomization: ${what},`,
        {
          'kustomization.yaml': text,
          'g/kustomization.yaml': 'resources: ["file:///tmp/repository"]',
          'g.yaml': 'apiVersion: builtin\nkind: ConfigMapGenerator\nFiles: ["k=http://host.example/x"]\n',
        },
        'RenderFailed',
        message,
      ] as const,
  ),
  [
    'two kustomizations in a folder',
    { 'kustomization.yaml': '', Kustomization: '' },
    'RenderFailed',
    /kustomization.yaml and Kustomization/,
  ],
  ['a file that is no object', { 'a.yaml': 'text' }, 'InvalidManifests', /a.yaml/],
  ['a file without kind', { 'a.yaml': 'apiVersion: v1\n' }, 'InvalidManifests', /no apiVersion and kind/],
  ['broken YAML', { 'a.yaml': 'a: [' }, 'RenderFailed', /a.yaml/],
  ['aliases without end', { 'a.yaml': bomb() }, 'LimitExceeded', /aliases/],
  ['lists in lists without end', { 'a.yaml': '['.repeat(20_000) }, 'LimitExceeded', /deep/],
  [
    'JSON in JSON without end',
    { 'a.json': `${'{"a":'.repeat(5_000)}1${'}'.repeat(5_000)}` },
    'LimitExceeded',
    /deep/,
  ],
];

function bomb(): string {
  const lines = ['a0: &a0 [x, x, x, x, x, x, x, x, x, x]'];
  for (let i = 1; i < 12; i++)
    lines.push(
      `a${i}: &a${i} [${Array(10)
        .fill(`*a${i - 1}`)
        .join(', ')}]`,
    );
  return lines.join('\n');
}

for (const [name, files, fault, message] of refusals) {
  test(`${name} is refused`, async () => {
    await using folder = await folderWith(files);
    await assert.rejects(namesIn(folder.root), (error: unknown) => {
      assert.ok(error instanceof SourceError, String(error));
      assert.equal(error.fault, fault, error.message);
      assert.match(error.message, message);
      assert.ok(!error.message.includes(folder.root), error.message);
      return true;
    });
  });
}

test('links are followed within the source, and never out of it', async () => {
  await using folder = await folderWith({ 'app/a.yaml': configMap('a'), 'base/b.yaml': configMap('b') });
  await symlink('../base/b.yaml', join(folder.root, 'app/b.yaml'));
  await symlink('/etc', join(folder.root, 'etc'));
  assert.deepEqual(await namesIn(folder.root, 'app'), ['a', 'b']);
  await symlink('/etc/hostname', join(folder.root, 'app/c.yaml'));
  await assert.rejects(namesIn(folder.root, 'app'), /"app\/c.yaml" leads out of the source/);
  for (const path of ['etc', '../', '/etc', 'app/../../x']) {
    await assert.rejects(namesIn(folder.root, path), SourceError, path);
  }
});

test('a link to a folder outside is no base of a kustomization', async () => {
  await using outside = await folderWith({
    'kustomization.yaml': 'resources: [cm.yaml]\n',
    'cm.yaml': configMap('secret'),
  });
  await using folder = await folderWith({ 'app/kustomization.yaml': 'resources: [base]\n' });
  await symlink(outside.root, join(folder.root, 'app/base'));
  await assert.rejects(namesIn(folder.root, 'app'), SourceError);
});

test('what kustomize reads is what was checked, also of a file that folders share by a link', async () => {
  await using folder = await folderWith({
    'shared.yaml': 'resources: [cm.yaml]\n',
    'a/cm.yaml': configMap('a'),
    'b/cm.yaml': configMap('b'),
    'kustomization.yaml': '<<: &more {namePrefix: de-}\nresources: [a, b/]\n',
  });
  for (const name of ['a', 'b']) {
    await symlink('../shared.yaml', join(folder.root, name, 'kustomization.yaml'));
  }
  assert.deepEqual(await namesIn(folder.root), ['de-a', 'de-b']);
  const written = await readFile(join(folder.root, 'kustomization.yaml'), 'utf8');
  assert.deepEqual(JSON.parse(written), { namePrefix: 'de-', resources: ['./a', './b'] });
  assert.equal(await readFile(join(folder.root, 'shared.yaml'), 'utf8'), 'resources: [cm.yaml]\n');
});

test('what people write in kustomizations is carried out', async () => {
  const target = { kind: 'Deployment', name: 'till' };
  const deployment = {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'till', annotations: { from: 'x' } },
    spec: { template: { spec: { containers: [{ name: 'till', image: 'till:1' }] } } },
  };
  const kustomization = {
    apiVersion: 'kustomize.config.k8s.io/v1beta1',
    kind: 'Kustomization',
    resources: ['till.yaml'],
    components: ['part'],
    namespace: 'shop',
    nameSuffix: '-x',
    commonAnnotations: { team: 'Till' },
    labels: [{ pairs: { app: 'till' }, includeSelectors: true }],
    images: [{ name: 'till', newName: 'registry.example/till', newTag: '2' }],
    replicas: [{ name: 'till', count: 3 }],
    configMapGenerator: [
      { name: 'texts', literals: ['a=b'], files: ['k=page.txt', 'page.txt'], envs: ['page.env'] },
    ],
    secretGenerator: [{ name: 'keys', literals: ['a=b'], type: 'Opaque', options: { immutable: true } }],
    generatorOptions: { disableNameSuffixHash: true },
    patches: [
      { target, patch: '[{"op": "add", "path": "/metadata/annotations/by", "value": "patch"}]' },
      { path: 'patch.yaml' },
    ],
    replacements: [
      {
        source: { kind: 'ConfigMap', name: 'texts', fieldPath: 'data.a' },
        targets: [{ select: target, fieldPaths: ['metadata.annotations.from'] }],
      },
    ],
    transformers: [
      'apiVersion: builtin\nkind: PrefixTransformer\nmetadata: {name: p}\nprefix: t-\nfieldSpecs: [{path: metadata/name}]\n',
    ],
  };
  await using folder = await folderWith({
    'kustomization.yaml': JSON.stringify(kustomization),
    'till.yaml': JSON.stringify(deployment),
    'patch.yaml': JSON.stringify({
      ...deployment,
      metadata: { name: 'till', annotations: { file: 'yes' } },
      spec: {},
    }),
    'page.txt': 'page',
    'page.env': 'HOST=http://host.example\n',
    'part/kustomization.yaml':
      'apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nresources: [cm.yaml]\n',
    'part/cm.yaml': configMap('part'),
  });
  const manifests = await readFolder({ root: folder.root, path: '.', signal });
  assert.deepEqual(manifests.map(({ metadata }) => metadata.name).toSorted(), [
    't-keys-x',
    't-part-x',
    't-texts-x',
    't-till-x',
  ]);
  const found = manifests.find(({ kind }) => kind === 'Deployment') as typeof deployment & {
    spec: { replicas: number };
  };
  assert.deepEqual(found.metadata.annotations, {
    team: 'Till',
    by: 'patch',
    file: 'yes',
    from: 'b',
  } as object);
  assert.equal(found.spec.replicas, 3);
  assert.equal(found.spec.template.spec.containers[0]?.image, 'registry.example/till:2');
});

test('values that YAML 1.1 alone knows are what kubectl takes them for', async () => {
  await using folder = await folderWith({
    'a.yaml': `${configMap('a')}data: {port: 22:22, day: 2026-01-01, mode: 0644, on: yes, text: "yes"}\n`,
  });
  const [manifest] = await readFolder({ root: folder.root, path: '.', signal });
  assert.deepEqual((manifest as { data?: unknown } | undefined)?.data, {
    port: '22:22',
    day: '2026-01-01',
    mode: 420,
    true: true,
    text: 'yes',
  });
});
