import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { splitInParts } from '../../tools/lean-bundle.ts';

/** An idle agent has 64 MiB. Each of these takes megabytes, and waits for the work that needs it. */
const heavy = {
  'schemas of kinds': /node_modules\/typebox\//,
  WebSockets: /node_modules\/ws\//,
  YAML: /node_modules\/yaml\//,
  CEL: /node_modules\/@marcbachmann\/cel-js\//,
  'an HTTP client': /node_modules\/undici\//,
  HPKE: /node_modules\/hpke\//,
  'HTTP/2': /^node-module:node:http2$/,
  'worker threads': /node_modules\/thread-stream\//,
  'the depot, which opens when an image is wanted of it':
    /^packages\/agent\/src\/depot\/(site-depot|depot-server|blob-|image-fetcher|registry-|hub-door)/,
  'the import of archives': /^packages\/agent\/src\/carry\/(archive-plan|image-blobs|import-|read-archive)/,
  'the service link': /^packages\/agent\/src\/link\/(link-service|link-socket|streams\/)/,
  'the doors': /^packages\/agent\/src\/drivers\/[a-z]+\/door\//,
};

interface Part {
  /** What it holds, after unused code was left out. */
  readonly modules: readonly string[];
  readonly imports: readonly { readonly path: string; readonly kind: string }[];
}

describe('what the bundled agent loads when it starts', () => {
  let parts: ReadonlyMap<string, Part>;

  before(async () => {
    const folder = await mkdtemp(join(tmpdir(), 'svg-parts-'));
    try {
      const { metafile } = await splitInParts('packages/agent/src/main.ts', folder);
      parts = new Map(
        Object.entries(metafile.outputs).map(([path, { inputs, imports }]) => {
          const modules = Object.entries(inputs).filter(([, { bytesInOutput }]) => bytesInOutput > 0);
          return [path, { modules: modules.map(([module]) => module), imports }];
        }),
      );
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });

  for (const { runtime, other } of [
    { runtime: 'kubernetes', other: 'podman' },
    { runtime: 'podman', other: 'kubernetes' },
  ]) {
    test(`at a ${runtime} site nothing that is needed only now and then`, () => {
      const start = partWith(parts, 'packages/agent/src/main.ts');
      const run = partWith(parts, `packages/agent/src/commands/run-on-${runtime}.ts`);
      const loaded = modulesAtOnce(parts, [start, run]);
      assert.ok(loaded.includes(`packages/agent/src/drivers/${runtime}/${runtime}-driver.ts`));
      for (const [name, pattern] of Object.entries(heavy)) {
        assert.deepEqual(
          loaded.filter((module) => pattern.test(module)),
          [],
          `${name}: load it where it is used, with await import()`,
        );
      }
      assert.ok(!loaded.includes(`packages/agent/src/drivers/${other}/${other}-driver.ts`));
    });
  }

  test('and each of them where it is needed', () => {
    const all = [...parts.values()].flatMap(({ modules, imports }) => [
      ...modules,
      ...imports.filter(({ kind }) => kind === 'dynamic-import').map(({ path }) => path),
    ]);
    for (const name of ['ws', 'yaml', '@marcbachmann/cel-js']) {
      assert.ok(
        all.some((path) => path.includes(`node_modules/${name}/`)),
        name,
      );
    }
    assert.ok(all.includes('node:http2'));
  });
});

function partWith(parts: ReadonlyMap<string, Part>, module: string): string {
  const found = [...parts].find(([, { modules }]) => modules.includes(module));
  assert.ok(found !== undefined, `no part holds ${module}`);
  return found[0];
}

/** All that is evaluated with these parts: what they import, but not what they `await import()`. */
function modulesAtOnce(parts: ReadonlyMap<string, Part>, starts: readonly string[]): string[] {
  const seen = new Set<string>();
  const waiting = [...starts];
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    if (seen.has(path)) continue;
    seen.add(path);
    for (const { path: next, kind } of parts.get(path)?.imports ?? []) {
      if (kind === 'import-statement') waiting.push(next);
    }
  }
  return [...seen].flatMap((path) => parts.get(path)?.modules ?? [path]);
}
