import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StatusError } from '@selvedge/api';
import { isApiAway } from './api-away.ts';
import { ApiUnreachable } from './kube-connection.ts';

const answer503 = new StatusError(
  'ServiceUnavailable',
  'the server is currently unable to handle the request',
);

test('a group that is served by others may be down without the cluster being away', () => {
  assert.ok(!isApiAway(answer503, 'metrics.k8s.io/v1beta1'));
  assert.ok(!isApiAway(answer503, 'custom.metrics.k8s.io/v1beta2'));
  assert.ok(!isApiAway(answer503, 'widgets.example.com/v1'));
  assert.ok(isApiAway(new ApiUnreachable(new Error('ECONNREFUSED')), 'widgets.example.com/v1'));
});

test('an API server that answers for none of its own kinds is away', () => {
  assert.ok(isApiAway(answer503, 'v1'));
  assert.ok(isApiAway(answer503, 'apps/v1'));
  assert.ok(
    isApiAway(new StatusError('Timeout', 'etcdserver: request timed out'), 'rbac.authorization.k8s.io/v1'),
  );
  assert.ok(!isApiAway(new StatusError('InternalError', 'failed calling webhook "a.b"'), 'v1'));
  assert.ok(!isApiAway(new StatusError('ServiceUnavailable', 'failed calling webhook "a.b": timeout'), 'v1'));
});
