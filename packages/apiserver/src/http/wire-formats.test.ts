import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { writeMessage } from '../discovery/protobuf-writer.ts';
import { ageText } from './age-text.ts';
import { scanJson } from './json-scan.ts';
import { negotiateForm } from './negotiate.ts';
import { decodeProtobuf } from './protobuf-body.ts';
import { parseResourcePath } from './request-path.ts';

const envelope = (apiVersion: string, kind: string, raw: Buffer): Buffer =>
  Buffer.concat([
    Buffer.from('k8s\0', 'latin1'),
    writeMessage([
      [
        1,
        writeMessage([
          [1, apiVersion],
          [2, kind],
        ]),
      ],
      [2, raw],
      [3, ''],
      [4, ''],
    ]),
  ]);
const entry = (key: string, value: string | Buffer) =>
  writeMessage([
    [1, key],
    [2, value],
  ]);

describe('protobuf bodies', () => {
  test('a ConfigMap as kubectl sends it', () => {
    const metadata = writeMessage([
      [1, 'cm'],
      [2, ''],
      [3, 'shop'],
      [5, ''],
      [8, Buffer.alloc(0)],
      [11, entry('a', 'b')],
      [14, ['f1', 'f2']],
    ]);
    const data = [entry('k', 'v'), entry('empty', ''), entry('__proto__', 'x')];
    const raw = writeMessage([
      [1, metadata],
      [2, data],
      [3, entry('bin', Buffer.from([0, 255]))],
      [4, true],
    ]);
    const decoded = decodeProtobuf(envelope('v1', 'ConfigMap', raw));
    assert.deepEqual(
      { ...decoded, data: Object.entries(decoded['data'] as object) },
      {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: 'cm', namespace: 'shop', labels: { a: 'b' }, finalizers: ['f1', 'f2'] },
        data: [
          ['k', 'v'],
          ['empty', ''],
          ['__proto__', 'x'],
        ],
        binaryData: { bin: 'AP8=' },
        immutable: true,
      },
    );
  });

  test('a kind that is not known is refused, nonsense too', () => {
    assert.throws(
      () => decodeProtobuf(envelope('v1', 'Pod', Buffer.alloc(0))),
      /v1 Pod cannot be read as protobuf/,
    );
    assert.throws(() => decodeProtobuf(Buffer.from('nonsense')), /not a Kubernetes protobuf/);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        try {
          decodeProtobuf(envelope('v1', 'Secret', Buffer.from(bytes)));
        } catch (error) {
          assert.match(String(error), /StatusError/);
        }
      }),
    );
  });
});

describe('scanJson', () => {
  test('finds no duplicates in what JSON.stringify writes', () => {
    fc.assert(fc.property(fc.json(), (text) => assert.deepEqual(scanJson(text).duplicates, [])));
  });

  test('finds duplicates wherever they are', () => {
    const text = '{"a":{"b":1,"c":[{"d":"}\\"","d":2}],"b":2},"x":"a","a":3,"\\u0078":1}';
    assert.deepEqual(scanJson(text).duplicates, ['a.c[].d', 'a.b', 'a', 'x']);
  });
});

describe('ageText', () => {
  test('prints ages as kubectl does', () => {
    const now = new Date('2026-01-01T00:00:00Z');
    const ages = [
      0,
      119,
      125,
      600,
      10_799,
      3 * 3600,
      3 * 3600 + 300,
      47 * 3600,
      50 * 3600,
      8 * 86400,
      800 * 86400,
    ];
    const texts = ages.map((seconds) => ageText(new Date(now.getTime() - seconds * 1000).toISOString(), now));
    assert.deepEqual(texts, [
      '0s',
      '119s',
      '2m5s',
      '10m',
      '179m',
      '3h',
      '3h5m',
      '47h',
      '2d2h',
      '8d',
      '2y70d',
    ]);
    assert.equal(ageText('nonsense', now), '<invalid>');
  });
});

describe('negotiateForm', () => {
  test('takes the first form that it knows', () => {
    assert.equal(negotiateForm(undefined), 'object');
    assert.equal(negotiateForm('*/*'), 'object');
    assert.equal(negotiateForm('application/json;as=Table;v=v1;g=meta.k8s.io,application/json'), 'table');
    assert.equal(
      negotiateForm(
        'application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1',
      ),
      'metadata',
    );
    assert.throws(() => negotiateForm('text/html'), /only application\/json/);
  });
});

describe('parseResourcePath', () => {
  test('takes paths apart', () => {
    const core = { group: '', version: 'v1' };
    assert.deepEqual(parseResourcePath('/api/v1/namespaces/a'), { ...core, plural: 'namespaces', name: 'a' });
    assert.deepEqual(parseResourcePath('/api/v1/namespaces/a/status'), {
      ...core,
      plural: 'namespaces',
      name: 'a',
      subresource: 'status',
    });
    assert.deepEqual(parseResourcePath('/api/v1/namespaces/a/secrets/b'), {
      ...core,
      namespace: 'a',
      plural: 'secrets',
      name: 'b',
    });
    assert.deepEqual(parseResourcePath('/apis/g.dev/v2/things'), {
      group: 'g.dev',
      version: 'v2',
      plural: 'things',
    });
    for (const path of ['/', '/api', '/api/v1', '/apis/g/v', '/version', '/apis/g/v/p/n/s/more']) {
      assert.equal(parseResourcePath(path), undefined, path);
    }
  });
});
