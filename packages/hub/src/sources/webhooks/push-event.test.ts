import assert from 'node:assert/strict';
import { test } from 'node:test';
import { concerns, readForgeEvent } from './push-event.ts';

const read = (headers: Record<string, string>, body: unknown = {}) =>
  readForgeEvent(
    (name) => headers[name],
    Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)),
  );

test('pushes of all forges are told from pings and from what is of no interest', () => {
  const ref = 'refs/heads/main';
  assert.deepEqual(read({ 'x-github-event': 'push' }, { ref }), { kind: 'push', ref });
  assert.deepEqual(read({ 'x-gitlab-event': 'Push Hook' }, { ref }), { kind: 'push', ref });
  assert.deepEqual(read({ 'x-gitlab-event': 'Tag Push Hook' }, { ref: 'refs/tags/v1' }), {
    kind: 'push',
    ref: 'refs/tags/v1',
  });
  assert.deepEqual(read({ 'x-gitea-event': 'push', 'x-github-event': 'push' }, { ref }), {
    kind: 'push',
    ref,
  });
  assert.deepEqual(read({ 'x-event-key': 'repo:push' }, { push: {} }), { kind: 'push' });
  assert.deepEqual(read({ 'x-github-event': 'create' }, { ref: 'v1', ref_type: 'tag' }), { kind: 'push' });
  assert.deepEqual(read({ 'x-github-event': 'ping' }), { kind: 'ping' });
  assert.deepEqual(read({ 'x-github-event': 'issues' }), { kind: 'other' });
});

test('a body that is not understood counts as a push that does not say where', () => {
  assert.deepEqual(read({}), { kind: 'push' });
  assert.deepEqual(read({ 'x-github-event': 'push' }, 'payload=%7B%7D'), { kind: 'push' });
  assert.deepEqual(read({ 'x-github-event': 'push' }, 'null'), { kind: 'push' });
});

test('a push concerns sources of its ref', () => {
  const main = { kind: 'push', ref: 'refs/heads/main' } as const;
  const tag = { kind: 'push', ref: 'refs/tags/v1' } as const;
  assert.ok(concerns({ ref: { branch: 'main' } }, main));
  assert.ok(!concerns({ ref: { branch: 'other' } }, main));
  assert.ok(!concerns({ ref: { tag: 'main' } }, main));
  assert.ok(concerns({ ref: { tag: 'v1' } }, tag));
  assert.ok(concerns({}, main));
  assert.ok(!concerns({}, tag));
  assert.ok(concerns({ ref: { tag: 'v1' } }, { kind: 'push' }));
  assert.ok(!concerns({ ref: { commit: 'a'.repeat(40) } }, { kind: 'push' }));
  assert.ok(!concerns({}, { kind: 'ping' }));
});
