import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { isStatusError, type KubeObject } from '@selvedge/api';
import fc from 'fast-check';
import { writeMessage } from '../discovery/protobuf-writer.ts';
import { decodeProtobuf } from './protobuf-body.ts';
import { findMessage } from './protobuf-kinds.ts';
import { type FieldType, message, readMessage } from './protobuf-message.ts';

interface Sample {
  readonly json: KubeObject;
  /** Base64 of what k8s.io/apimachinery writes. */
  readonly protobuf: string;
}

const samples = JSON.parse(
  readFileSync(new URL('./testing/protobuf-samples.json', import.meta.url), 'utf8'),
) as Sample[];
const decode = ({ protobuf }: Sample) => decodeProtobuf(Buffer.from(protobuf, 'base64'));
const sampleOf = (kind: string) => {
  const sample = samples.find(({ json }) => json.kind === kind);
  assert.ok(sample, kind);
  return sample;
};

/** Without what Go writes and nobody means: `null`, empty texts and empty objects. */
function meant(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(meant);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value)
    .map(([name, child]): [string, unknown] => [name, meant(child)])
    .filter(([, child]) => child !== null && child !== '' && !isEmptyObject(child));
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}

const isEmptyObject = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && Object.keys(value).length === 0;

/** Status of reviews is the server's to say, and not read. */
const isReview = ({ kind }: KubeObject): boolean => /Review$|^TokenRequest$/.test(kind);

describe('protobuf bodies as Kubernetes writes them', () => {
  for (const [index, sample] of samples.entries()) {
    const { json } = sample;
    test(`${json.apiVersion} ${json.kind} (${index}) is read as its JSON`, () => {
      const { status: _, ...withoutStatus } = json;
      assert.deepEqual(meant(decode(sample)), meant(isReview(json) ? withoutStatus : json));
    });
  }

  test('what is empty but meant stays', () => {
    const lease = decode(sampleOf('Lease'))['spec'] as Record<string, unknown>;
    assert.equal(lease['leaseTransitions'], 0);
    assert.equal(decode(sampleOf('DeleteOptions'))['gracePeriodSeconds'], 0);
    const configMap = decode(sampleOf('ConfigMap')) as unknown as Record<string, Record<string, unknown>>;
    assert.deepEqual([configMap['data']?.['e'], configMap['binaryData']?.['z']], ['', '']);
    assert.equal(configMap['immutable'], false);
    const review = decode(sampleOf('SubjectAccessReview'))['spec'] as { extra: unknown };
    assert.deepEqual(review.extra, { k: ['a', 'b'], none: [] });
  });
});

describe('hostile protobuf', () => {
  const isRefused = (error: unknown) =>
    isStatusError(error, 'BadRequest') || isStatusError(error, 'UnsupportedMediaType');

  test('a message that was damaged anywhere is read or refused, nothing else', () => {
    const sample = fc.constantFrom(...samples).map(({ protobuf }) => Buffer.from(protobuf, 'base64'));
    const damage = fc.array(fc.tuple(fc.nat(4000), fc.nat(255)), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(sample, damage, fc.nat(4000), (bytes, changes, length) => {
        const damaged = Buffer.from(bytes.subarray(0, Math.max(4, length)));
        for (const [place, value] of changes) damaged[4 + (place % (damaged.length - 4 || 1))] = value;
        try {
          decodeProtobuf(damaged);
        } catch (error) {
          assert.ok(isRefused(error), String(error));
        }
      }),
      { numRuns: 2000 },
    );
  });

  const one = message({ text: [1, 'string'], count: [2, 'integer'], time: [3, 'time'], raw: [4, 'json'] });
  const refuses = (bytes: number[] | Buffer, why: RegExp) =>
    assert.throws(
      () => readMessage(Buffer.from(bytes), one),
      (error: unknown) => isStatusError(error, 'BadRequest') && why.test(error.message),
    );

  test('lengths, numbers and texts that cannot be are refused', () => {
    refuses([0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x41], /not a valid protobuf/);
    refuses([0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], /not a valid protobuf/);
    refuses([0x0a, 0x05, 0x41], /not a valid protobuf/);
    refuses([0x10, ...Array<number>(11).fill(0xff)], /not a valid protobuf/);
    refuses([0x10, ...Array<number>(8).fill(0xff), 0x7f], /too large/);
    refuses([0x0b], /not a valid protobuf/);
    refuses([0x08, 0x01], /not a valid protobuf/);
    refuses([0x0a, 0x02, 0xc3, 0x28], /UTF-8/);
    refuses(writeMessage([[3, writeMessage([[1, 1e15]])]]), /out of range/);
    refuses(writeMessage([[4, writeMessage([[1, '[1]']])]]), /not a JSON object/);
    refuses(writeMessage([[4, writeMessage([[1, '{']])]]), /not valid JSON/);
    assert.deepEqual(readMessage(Buffer.from([0x10, ...Array<number>(9).fill(0xff), 0x01]), one), {
      count: -1,
    });
  });

  test('a body of nothing but tiny fields is read in a blink', () => {
    const bytes = Buffer.concat(Array<Buffer>(100_000).fill(Buffer.from([0x10, 0x01])));
    assert.deepEqual(readMessage(bytes, one), { count: 1 });
  });

  test('names that every object has are no kinds', () => {
    for (const [apiVersion, kind] of [
      ['constructor', 'name'],
      ['v1', 'toString'],
      ['v1', '__proto__'],
    ] as const) {
      assert.equal(findMessage(apiVersion, kind), undefined);
    }
  });

  test('no message holds itself, so what is read is never deeper than its table', () => {
    const depth = (type: FieldType, above: readonly FieldType[]): number => {
      if (typeof type !== 'object') return 0;
      assert.ok(!above.includes(type));
      const inner =
        'list' in type
          ? [type.list]
          : 'map' in type
            ? [type.map]
            : [...type.fields.values()].map((f) => f.type);
      return 1 + Math.max(0, ...inner.map((child) => depth(child, [...above, type])));
    };
    for (const { json } of samples) {
      const table = findMessage(json.apiVersion, json.kind);
      assert.ok(table && depth(table, []) < 20);
    }
  });
});
