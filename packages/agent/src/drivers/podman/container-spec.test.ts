import { quantityToNumber } from '@selvedge/api';
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { normalizeImage } from './container-spec.ts';
import { registryOf } from './images.ts';

describe('a container for Podman', () => {
  test('image names mean what they mean in Kubernetes', () => {
    const digest = `sha256:${'a'.repeat(64)}`;
    assert.equal(normalizeImage('nginx'), 'docker.io/library/nginx:latest');
    assert.equal(normalizeImage('acme/web:2'), 'docker.io/acme/web:2');
    assert.equal(normalizeImage('localhost/web'), 'localhost/web:latest');
    assert.equal(normalizeImage('127.0.0.1:5000/web'), '127.0.0.1:5000/web:latest');
    assert.equal(normalizeImage(`reg.example:5000/a/web:2@${digest}`), `reg.example:5000/a/web@${digest}`);
    assert.equal(registryOf('acme/web'), 'docker.io');
  });

  test('quantities are read', () => {
    const read = ['250m', '1', 2, '64Mi', '1.5Gi', '1e3', '5k'].map(quantityToNumber);
    assert.deepEqual(read, [0.25, 1, 2, 64 * 2 ** 20, 1.5 * 2 ** 30, 1000, 5000]);
    for (const wrong of ['', 'x', '1 Gi', '-1', null, Number.NaN])
      assert.equal(quantityToNumber(wrong), undefined);
  });
});
