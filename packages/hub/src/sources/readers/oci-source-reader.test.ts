import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { test } from 'node:test';
import type { Application } from '@selvedge/api';
import { ImageRepositories } from '../../registry/image-repositories.ts';
import { RegistryArtifacts } from '../../registry/registry-artifacts.ts';
import { WorkFolders } from '../folder/work-folders.ts';
import { SourceError } from '../source-reading.ts';
import { FileServer, packFiles } from '../testing/file-server.ts';
import { OciSourceReader } from './oci-source-reader.ts';

const { signal } = new AbortController();
const fluxType = 'application/vnd.cncf.flux.content.v1.tar+gzip';
const page = (name: string) => `apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: ${name}\n`;

class Lab implements AsyncDisposable {
  readonly server: FileServer;
  readonly reader: OciSourceReader;
  readonly #folder: string;

  private constructor(server: FileServer, folder: string) {
    this.server = server;
    this.#folder = folder;
    const repositories = new ImageRepositories({ insecureRegistries: [server.host], privateRegistries: [] });
    this.reader = new OciSourceReader({
      artifacts: new RegistryArtifacts(repositories),
      folders: new WorkFolders(join(folder, 'work')),
    });
  }

  static async start(): Promise<Lab> {
    return new Lab(await FileServer.start(), await mkdtemp(join(tmpdir(), 'selvedge-oci-test-')));
  }

  application(reference: string, path?: string): Application {
    return {
      apiVersion: 'selvedge.dev/v1alpha1',
      kind: 'Application',
      metadata: { name: 'till', namespace: 'shop' },
      spec: {
        source: {
          oci: { reference: `${this.server.host}/shop/till${reference}`, ...(path ? { path } : {}) },
        },
        placement: { siteSelector: {} },
      },
    };
  }

  async names(application: Application): Promise<string[]> {
    return (await this.reader.read(application, signal)).manifests.map(({ metadata }) => metadata.name);
  }

  async fault(application: Application): Promise<{ fault: string; message: string }> {
    const error: unknown = await this.reader.read(application, signal).then(
      () => assert.fail('it was read'),
      (thrown: unknown) => thrown,
    );
    assert.ok(error instanceof SourceError, String(error));
    return { fault: error.fault, message: error.message };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server[Symbol.asyncDispose]();
    await rm(this.#folder, { recursive: true, force: true });
  }
}

test('an artifact of Flux is read as a folder, by tag and by digest', async () => {
  await using lab = await Lab.start();
  const content = await packFiles({ 'a/one.yaml': page('one'), 'b/two.yaml': page('two') });
  const digest = lab.server.addArtifact('shop/till', '1.2', [{ mediaType: fluxType, content }]);
  assert.equal(await lab.reader.findRevision(lab.application(':1.2'), signal), digest);
  assert.deepEqual(await lab.names(lab.application(':1.2')), ['one', 'two']);
  assert.deepEqual(await lab.names(lab.application(':1.2', 'b')), ['two']);
  assert.deepEqual(await lab.names(lab.application(`@${digest}`, './a')), ['one']);
  assert.equal(lab.reader.isFixed(lab.application(`@${digest}`)), true);
  assert.equal(lab.reader.isFixed(lab.application(':1.2')), false);
});

test('single files, as ORAS pushes them, are read by their titles', async () => {
  await using lab = await Lab.start();
  lab.server.addArtifact('shop/till', 'latest', [
    { mediaType: 'application/vnd.oci.image.layer.v1.tar', title: 'deploy/b.yaml', content: page('b') },
    { mediaType: 'application/yaml', title: 'deploy/a.yaml', content: page('a') },
    { mediaType: 'text/markdown', title: 'README.md', content: '# text' },
  ]);
  assert.deepEqual(await lab.names(lab.application('')), ['a', 'b']);
});

test('what is hostile or of no use is refused, and told apart', async () => {
  await using lab = await Lab.start();
  const cases: [
    tag: string,
    layer: { mediaType: string; content: string | Uint8Array; title?: string },
    fault: string,
    message: RegExp,
  ][] = [
    [
      'outside',
      { mediaType: fluxType, content: await packFiles({ '../../evil.yaml': page('x') }) },
      'RenderFailed',
      /outside/,
    ],
    [
      'absolute',
      { mediaType: fluxType, content: await packFiles({ '/etc/evil.yaml': page('x') }) },
      'RenderFailed',
      /outside/,
    ],
    ['damaged', { mediaType: fluxType, content: 'no archive' }, 'RenderFailed', /damaged/],
    [
      'bomb',
      { mediaType: fluxType, content: gzipSync(Buffer.alloc(80 * 1024 * 1024)) },
      'LimitExceeded',
      /unpacks/,
    ],
    ['image', { mediaType: 'application/octet-stream', content: 'x' }, 'RenderFailed', /no manifests/],
  ];
  for (const [tag, layer, fault, message] of cases) {
    lab.server.addArtifact('shop/till', tag, [layer]);
    const found = await lab.fault(lab.application(`:${tag}`));
    assert.equal(found.fault, fault, `${tag}: ${found.message}`);
    assert.match(found.message, message, tag);
  }
  assert.equal((await lab.fault(lab.application(':missing'))).fault, 'NotFound');
  assert.equal((await lab.fault(lab.application('@sha256:short'))).fault, 'NotFound');
});
