import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GitSource } from '@selvedge/api';
import { validateGitSource } from './validate-git-source.ts';

const url = 'https://git.example.com/shop/till';
const faults = (git: Partial<GitSource>) =>
  validateGitSource({ url, ...git }, 'spec.source.git').map(({ field, message }) => `${field}: ${message}`);

test('what git can read is taken', () => {
  assert.deepEqual(validateGitSource(undefined, 'x'), []);
  assert.deepEqual(faults({}), []);
  assert.deepEqual(faults({ ref: { branch: 'feature/x' }, path: './deploy/till', interval: '30s' }), []);
  assert.deepEqual(faults({ url: 'git@git.example.com:shop/till.git', ref: { tag: 'v1.2' } }), []);
});

test('what it cannot is refused by the path of its field, and no password is repeated', () => {
  assert.match(String(faults({ url: 'file:///etc' })), /^spec\.source\.git\.url: .*https:\/\/host\/path/);
  const withPassword = String(faults({ url: 'https://me:hunter2@git.example.com/x' }));
  assert.match(withPassword, /holds a password: put it into the Secret/);
  assert.doesNotMatch(withPassword, /hunter2/);
  assert.match(String(faults({ ref: { branch: '--x' } })), /^spec\.source\.git\.ref\.branch: .*dash/);
  assert.match(String(faults({ path: '../x' })), /^spec\.source\.git\.path: .*without \.\./);
  assert.match(String(faults({ interval: '5s' })), /^spec\.source\.git\.interval: .*at least 10s/);
  assert.match(String(faults({ interval: 'often' })), /^spec\.source\.git\.interval: /);
});
