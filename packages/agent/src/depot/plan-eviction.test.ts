import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type DepotContents, planEviction } from './plan-eviction.ts';

const digestOf = (n: number) => `sha256:${n.toString(16).padStart(64, '0')}`;
const nowMs = 1_000_000_000_000;
const count = 12;

/** Depots in which images share blobs, some are not whole, some blobs belong to nothing. */
const contents: fc.Arbitrary<DepotContents> = fc
  .record({
    images: fc.uniqueArray(
      fc.record({
        key: fc.integer({ min: 0, max: 9 }).map((n) => `registry.example/app-${n}:1`),
        parts: fc.uniqueArray(fc.integer({ min: 0, max: count - 1 }), { minLength: 1, maxLength: 4 }),
        usedMs: fc.integer({ min: 0, max: 1000 }).map((n) => nowMs - n * 60_000),
      }),
      { selector: ({ key }) => key, maxLength: 6 },
    ),
    blobs: fc.uniqueArray(
      fc.record({ n: fc.integer({ min: 0, max: count - 1 }), age: fc.integer({ min: 0, max: 200 }) }),
      { selector: ({ n }) => n },
    ),
    partials: fc.uniqueArray(fc.integer({ min: 0, max: count - 1 }), { maxLength: 3 }),
    needed: fc.uniqueArray(fc.integer({ min: 0, max: 9 }), { maxLength: 4 }),
    pinned: fc.uniqueArray(fc.integer({ min: 0, max: count - 1 }), { maxLength: 3 }),
  })
  .map(({ images, blobs, partials, needed, pinned }) => ({
    images: images.map(({ key, parts, usedMs }) => ({
      key,
      registry: 'registry.example',
      repository: 'app',
      digest: digestOf(parts[0] ?? 0),
      manifests: [],
      blobs: parts.map((n) => ({ digest: digestOf(n), sizeBytes: 100 + n })),
      usedMs,
    })),
    blobs: blobs.map(({ n, age }) => ({
      digest: digestOf(n),
      sizeBytes: 100 + n,
      writtenMs: nowMs - age * 60_000,
    })),
    partials: partials.map((n) => ({
      name: `part of ${digestOf(n)}`,
      digest: digestOf(n),
      sizeBytes: 50,
      writtenMs: nowMs,
    })),
    neededKeys: new Set(needed.map((n) => `registry.example/app-${n}:1`)),
    pinned: new Set(pinned.map(digestOf)),
    nowMs,
  }));

test('nothing of an image that is needed, and nothing that is in use, is ever given up', () => {
  fc.assert(
    fc.property(contents, fc.integer({ min: 0, max: 2000 }), (depot, bytes) => {
      const plan = planEviction(depot, bytes);
      const kept = depot.images.filter(({ key }) => !plan.images.includes(key));
      for (const key of plan.images) assert.ok(!depot.neededKeys.has(key));
      const protectedDigests = new Set([
        ...kept.flatMap((image) => image.blobs.map(({ digest }) => digest)),
        ...depot.pinned,
      ]);
      const whole = new Set(depot.blobs.map(({ digest }) => digest));
      for (const digest of plan.blobs) assert.ok(!protectedDigests.has(digest), digest);
      for (const { name, digest } of depot.partials.filter((part) => plan.partials.includes(part.name))) {
        const isOfNoUse = whole.has(digest) && !depot.pinned.has(digest);
        assert.ok(isOfNoUse || !protectedDigests.has(digest), name);
      }
      assert.equal(new Set(plan.partials).size, plan.partials.length);
      assert.equal(new Set(plan.blobs).size, plan.blobs.length);
    }),
    { numRuns: 500 },
  );
});

test('what is given up is what was not used for longest, and no more than is asked for needs', () => {
  fc.assert(
    fc.property(contents, fc.integer({ min: 0, max: 2000 }), (depot, bytes) => {
      const plan = planEviction(depot, bytes);
      const sizes = new Map(depot.blobs.map(({ digest, sizeBytes }) => [digest, sizeBytes]));
      const freed =
        plan.blobs.reduce((sum, digest) => sum + (sizes.get(digest) ?? 0), 0) + plan.partials.length * 50;
      assert.equal(plan.freedBytes, freed);
      const used = new Map(depot.images.map(({ key, usedMs }) => [key, usedMs]));
      const times = plan.images.map((key) => used.get(key) ?? 0);
      assert.deepEqual(
        times,
        times.toSorted((a, b) => a - b),
      );
      if (bytes === 0) assert.deepEqual([plan.images, plan.blobs, plan.partials], [[], [], []]);
      // Enough, or all that may go: what is left is needed, in use, or may be just arriving.
      if (plan.freedBytes >= bytes) return;
      const kept = new Set(
        depot.images
          .filter(({ key }) => !plan.images.includes(key))
          .flatMap(({ blobs }) => blobs.map(({ digest }) => digest)),
      );
      for (const { name, digest } of depot.partials)
        assert.ok(plan.partials.includes(name) || kept.has(digest) || depot.pinned.has(digest), name);
      for (const image of depot.images) {
        const isPinned = depot.pinned.has(image.digest);
        assert.ok(plan.images.includes(image.key) || depot.neededKeys.has(image.key) || isPinned);
      }
    }),
    { numRuns: 500 },
  );
});
