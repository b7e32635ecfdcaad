import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MirrorOrder } from '@selvedge/api';
import { BodyReader } from './body-reader.ts';
import { parseMirrorOrders } from './parse-mirrors.ts';

const order: MirrorOrder = {
  uid: 'uid-till',
  namespaces: ['shop', 'stock'],
  selector: {
    matchLabels: { edge: 'yes' },
    matchExpressions: [
      { key: 'tier', operator: 'NotIn', values: ['test', 'lab'] },
      { key: 'owner', operator: 'Exists' },
    ],
  },
  kinds: [{ apiVersion: 'apps/v1', kind: 'Deployment' }],
  secrets: ['db'],
  settleSeconds: 5,
};

function parse(mirrors: unknown) {
  const reader = new BodyReader('state');
  const parsed = parseMirrorOrders(reader, mirrors, 'policy.mirrors');
  reader.finish();
  return parsed;
}

test('orders of a signed state are read as they were written, or they would not fit its digest', () => {
  const all = [order, { ...order, uid: 'uid-2', selector: {}, secrets: [] }];
  assert.deepEqual(parse(JSON.parse(JSON.stringify(all))), { mirrors: all });
  assert.deepEqual(parse(undefined), {});
});

test('a wrong order is refused by its field', () => {
  const wrong: readonly (readonly [string, object])[] = [
    ['policy.mirrors[0].namespaces', { namespaces: 'shop' }],
    ['policy.mirrors[0].selector.matchLabels[edge]', { selector: { matchLabels: { edge: 1 } } }],
    [
      'policy.mirrors[0].selector.matchExpressions[0].operator',
      { selector: { matchExpressions: [{ key: 'a' }] } },
    ],
    ['policy.mirrors[0].kinds[0].kind', { kinds: [{ apiVersion: 'v1' }] }],
    ['policy.mirrors[0].settleSeconds', { settleSeconds: -1 }],
  ];
  for (const [field, change] of wrong) {
    assert.throws(
      () => parse([{ ...order, ...change }]),
      (error: Error) => error.message.includes(field),
      field,
    );
  }
});
