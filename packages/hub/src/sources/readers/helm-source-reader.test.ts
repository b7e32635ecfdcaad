import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  type Application,
  type ConfigMap,
  type KubeObject,
  type ObjectClient,
  type Secret,
  type Site,
} from '@selvedge/api';
import { sha256Digest, systemClock } from '@selvedge/api/node';
import { ChartRepositories } from '../helm/chart-repositories.ts';
import { WorkFolders } from '../folder/work-folders.ts';
import { SourceHosts } from '../source-hosts.ts';
import { SourceError } from '../source-reading.ts';
import { FileServer, packFiles } from '../testing/file-server.ts';
import { HelmSourceReader } from './helm-source-reader.ts';

const program = join(import.meta.dirname, '../testing/recorded-helm.sh');
const { signal } = new AbortController();
const recorded = `---
# Source: shop/templates/config.yaml
apiVersion: v1
kind: ConfigMap
metadata:
  name: RELEASE-config
  namespace: NAMESPACE
data:
  values: 'VALUES'
`;

class Lab implements AsyncDisposable {
  readonly server: FileServer;
  readonly sites: Site[] = [];
  readonly objects = new Map<string, KubeObject>();
  readonly reader: HelmSourceReader;
  readonly #folder: string;
  #versions: { version: string; url: string; digest: string }[] = [];

  private constructor(server: FileServer, folder: string) {
    this.server = server;
    this.#folder = folder;
    const client: Pick<ObjectClient, 'find'> = {
      find: <T extends KubeObject>(ref: { kind: string }, { name }: { name: string }) =>
        Promise.resolve(this.objects.get(`${ref.kind}/${name}`) as T | undefined),
    };
    const hosts = new SourceHosts({ hosts: [], insecureHosts: ['127.0.0.1'] });
    this.reader = new HelmSourceReader({
      client,
      charts: new ChartRepositories({ client, clock: systemClock, hosts }),
      folders: new WorkFolders(join(folder, 'work')),
      sites: () => this.sites,
      program,
    });
  }

  static async start(): Promise<Lab> {
    return new Lab(await FileServer.start(), await mkdtemp(join(tmpdir(), 'selvedge-helm-test-')));
  }

  async addChart(
    version: string,
    files: Record<string, string> = { 'recorded/stdout': recorded },
  ): Promise<void> {
    const packed = await packFiles({
      'shop/Chart.yaml': `apiVersion: v2\nname: shop\nversion: ${version}\n`,
      ...Object.fromEntries(Object.entries(files).map(([name, text]) => [`shop/${name}`, text])),
    });
    this.server.set(`/charts/shop-${version}.tgz`, packed);
    this.#versions.push({
      version,
      url: `shop-${version}.tgz`,
      digest: sha256Digest(packed).slice('sha256:'.length),
    });
    const entries = this.#versions.map(
      ({ version, url, digest }) =>
        `  - version: ${version}\n    digest: ${digest}\n    urls:\n    - ${url}\n`,
    );
    this.server.set(
      '/charts/index.yaml',
      `apiVersion: v1\nentries:\n  shop:\n${entries.join('')}  zebra:\n  - version: 9.9.9\n    urls: [z.tgz]\ngenerated: "2026"\n`,
    );
  }

  application(
    helm: Partial<NonNullable<Application['spec']['source']['helm']>> = {},
    spec: Partial<Application['spec']> = {},
  ): Application {
    return {
      apiVersion: 'selvedge.dev/v1alpha1',
      kind: 'Application',
      metadata: { name: 'till', namespace: 'shop', uid: 'u', generation: 1 },
      spec: {
        source: { helm: { repository: `http://${this.server.host}/charts`, chart: 'shop', ...helm } },
        placement: { siteSelector: { matchLabels: { tier: 'store' } } },
        ...spec,
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server[Symbol.asyncDispose]();
    await rm(this.#folder, { recursive: true, force: true });
  }
}

const site = (name: string, labels: Record<string, string>): Site => ({
  apiVersion: 'selvedge.dev/v1alpha1',
  kind: 'Site',
  metadata: { name, labels: { tier: 'store', ...labels } },
});

const configMap = (name: string, data: Record<string, string>, resourceVersion = '7'): ConfigMap => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, resourceVersion },
  data,
});

const secret = (name: string, data: Record<string, string>, resourceVersion = '8'): Secret => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name, resourceVersion },
  data: Object.fromEntries(
    Object.entries(data).map(([key, text]) => [key, Buffer.from(text).toString('base64')]),
  ),
});

async function faultOf(reading: Promise<unknown>): Promise<{ fault: string; message: string }> {
  const error: unknown = await reading.then(
    () => assert.fail('it was read'),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof SourceError, String(error));
  return { fault: error.fault, message: error.message };
}

test('the newest version of a chart is rendered, no prerelease, with the values of the source', async () => {
  await using lab = await Lab.start();
  for (const version of ['1.2.0', '1.10.0', '2.0.0-rc.1']) await lab.addChart(version);
  const application = lab.application({ values: { replicas: 2 } });
  assert.equal(await lab.reader.findRevision(application, signal), 'shop@1.10.0');
  const { revision, manifests, variants } = await lab.reader.read(application, signal);
  assert.equal(revision, 'shop@1.10.0');
  assert.deepEqual(variants, []);
  assert.deepEqual(manifests, [
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'till-config', namespace: 'shop' },
      data: { values: '{"replicas":2}' },
    },
  ]);
  const older = lab.application({ version: '>=1.0, <1.5' });
  assert.equal(await lab.reader.findRevision(older, signal), 'shop@1.2.0');
});

test('values come from ConfigMaps and Secrets first, and a change of them is another revision', async () => {
  await using lab = await Lab.start();
  await lab.addChart('1.0.0');
  lab.objects.set('ConfigMap/base', configMap('base', { 'values.yaml': 'color: red\n' }));
  lab.objects.set('Secret/login', secret('login', { values: 'password: hunter22\n' }));
  const application = lab.application({
    values: { color: 'blue' },
    valuesFrom: [
      { configMapKeyRef: { name: 'base', key: 'values.yaml' } },
      { secretKeyRef: { name: 'login', key: 'values' } },
      { configMapKeyRef: { name: 'missing', key: 'x' }, optional: true },
    ],
  });
  const { revision, manifests } = await lab.reader.read(application, signal);
  assert.equal(revision, 'shop@1.0.0+values.7.8');
  assert.deepEqual((manifests[0] as ConfigMap).data, {
    values: '{"color":"red"}{"password":"hunter22"}{"color":"blue"}',
  });
  lab.objects.set('ConfigMap/base', configMap('base', { 'values.yaml': 'color: green\n' }, '9'));
  assert.equal(await lab.reader.findRevision(application, signal), 'shop@1.0.0+values.9.8');
});

test('the chart is rendered for every combination of overrides that meets at a site', async () => {
  await using lab = await Lab.start();
  await lab.addChart('1.0.0');
  const overrides = [
    { name: 'de', siteSelector: { matchLabels: { country: 'de' } }, helmValues: { language: 'de' } },
    { name: 'big', siteSelector: { matchLabels: { size: 'big' } }, helmValues: { replicas: 3 } },
    { name: 'plain', siteSelector: {}, replicas: [{ name: 'x', count: 1 }] },
  ];
  const application = lab.application({}, { overrides });
  lab.sites.push(site('s1', {}), site('s2', { country: 'de' }), site('s3', { country: 'de' }));
  lab.sites.push(site('s4', { country: 'de', size: 'big' }), {
    ...site('s5', { size: 'big' }),
    metadata: { name: 's5', labels: { size: 'big' } },
  });
  const { variants = [] } = await lab.reader.read(application, signal);
  const found = variants.map(({ overrides: names, manifests }) => [names, (manifests[0] as ConfigMap).data]);
  assert.deepEqual(found, [
    [['de'], { values: '{"language":"de"}' }],
    [['de', 'big'], { values: '{"language":"de"}{"replicas":3}' }],
  ]);
  assert.equal(lab.reader.isLacking(application), true);
});

const failures: readonly [name: string, files: Record<string, string>, fault: string, message: RegExp][] = [
  [
    'a chart that includes itself',
    {
      'recorded/stderr':
        'Error: template: shop/templates/config.yaml:1:3: executing "shop/templates/config.yaml" at <include "a" .>: error calling include: rendering template has a nested reference name: a: unable to execute template\n\nUse --debug flag to render out invalid YAML\n',
    },
    'RenderFailed',
    /includes itself without end/,
  ],
  [
    'a chart without its dependencies',
    {
      'recorded/stderr':
        'Error: An error occurred while checking for chart dependencies. You may need to run `helm dependency build` to fetch missing dependencies: found in Chart.yaml, but missing in charts/ directory: common\n',
    },
    'RenderFailed',
    /nothing is fetched here/,
  ],
  ['a chart that prints without end', { 'recorded/endless': '' }, 'LimitExceeded', /8 MiB/],
  ['a chart that gives no YAML', { 'recorded/stdout': 'a: [' }, 'RenderFailed', /what the chart gave/],
];

for (const [name, files, fault, message] of failures) {
  test(`${name} is refused`, async () => {
    await using lab = await Lab.start();
    await lab.addChart('1.0.0', files);
    const found = await faultOf(lab.reader.read(lab.application(), signal));
    assert.equal(found.fault, fault, found.message);
    assert.match(found.message, message);
  });
}

test('a chart that renders nothing gives no manifest', async () => {
  await using lab = await Lab.start();
  await lab.addChart('1.0.0', { 'recorded/stdout': '---\n# Source: shop/templates/off.yaml\n' });
  assert.deepEqual((await lab.reader.read(lab.application(), signal)).manifests, []);
});

test('no message holds what stands in a Secret', async () => {
  await using lab = await Lab.start();
  await lab.addChart('1.0.0', {
    'recorded/stderr': 'Error: execution error at (shop/templates/a.yaml:1:2): VALUES is too short\n',
  });
  lab.objects.set('Secret/login', secret('login', { values: 'password: hunter22\n', broken: 'hunter22: [' }));
  const from = (key: string) => lab.application({ valuesFrom: [{ secretKeyRef: { name: 'login', key } }] });
  const failed = await faultOf(lab.reader.read(from('values'), signal));
  assert.match(failed.message, /is too short/);
  assert.ok(!failed.message.includes('hunter22'), failed.message);
  const broken = await faultOf(lab.reader.read(from('broken'), signal));
  assert.match(broken.message, /Secret login, key broken is no YAML/);
});

test('what is not there is told apart', async () => {
  await using lab = await Lab.start();
  await lab.addChart('1.0.0');
  const fault = async (application: Application) =>
    (await faultOf(lab.reader.read(application, signal))).fault;
  assert.equal(await fault(lab.application({ chart: 'other' })), 'NotFound');
  assert.equal(await fault(lab.application({ version: '^7' })), 'NotFound');
  assert.equal(await fault(lab.application({ version: 'newest' })), 'NotFound');
  assert.equal(await fault(lab.application({ repository: `http://${lab.server.host}/nowhere` })), 'NotFound');
  const missing = lab.application({ valuesFrom: [{ secretKeyRef: { name: 'missing', key: 'values' } }] });
  assert.equal(await fault(missing), 'ReferenceMissing');
  lab.server.set('/charts/shop-1.0.0.tgz', 'another file');
  assert.equal(await fault(lab.application()), 'SourceUnavailable');
});

test('a repository with a login is read with the Secret, and refused without', async () => {
  await using lab = await Lab.start();
  await lab.addChart('1.0.0');
  lab.server.login = { username: 'kim', password: 'hunter22' };
  assert.equal(
    (await faultOf(lab.reader.findRevision(lab.application(), signal))).fault,
    'AuthenticationFailed',
  );
  lab.objects.set('Secret/login', secret('login', { username: 'kim', password: 'hunter22' }));
  const application = lab.application({ secretRef: { name: 'login' } });
  assert.equal((await lab.reader.read(application, signal)).revision, 'shop@1.0.0');
});

test('many applications that look at one repository at the same time ask it once', async () => {
  await using lab = await Lab.start();
  await lab.addChart('1.0.0');
  const looks = Array.from({ length: 50 }, () => lab.reader.findRevision(lab.application(), signal));
  assert.deepEqual(new Set(await Promise.all(looks)), new Set(['shop@1.0.0']));
  assert.deepEqual(lab.server.requests, ['GET /charts/index.yaml 200']);
});
