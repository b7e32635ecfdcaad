import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';
import { isSignedBy } from './forge-signature.ts';

const token = "It's a Secret to Everybody";
const body = Buffer.from('Hello, World!');
const now = new Date('2026-05-01T12:00:00Z');

function isRight(headers: Record<string, string>, { key = token, text = body } = {}): boolean {
  return isSignedBy(key, { header: (name) => headers[name], body: text, now });
}

test("GitHub's own example is right", () => {
  // From GitHub's documentation of its webhooks.
  const signature = 'sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17';
  assert.ok(isRight({ 'x-hub-signature-256': signature }));
  assert.ok(!isRight({ 'x-hub-signature-256': signature }, { text: Buffer.from('Hello, World?') }));
  assert.ok(!isRight({ 'x-hub-signature-256': signature.slice('sha256='.length) }));
});

test('Gitea, Forgejo and Gogs sign in hexadecimal, GitLab sends the token', () => {
  const hex = createHmac('sha256', token).update(body).digest('hex');
  for (const name of ['x-gitea-signature', 'x-forgejo-signature', 'x-gogs-signature']) {
    assert.ok(isRight({ [name]: hex }), name);
    assert.ok(!isRight({ [name]: hex.replace(/.$/, (last) => (last === '0' ? '1' : '0')) }), name);
  }
  assert.ok(isRight({ 'x-gitlab-token': token }));
  assert.ok(!isRight({ 'x-gitlab-token': `${token} ` }));
});

test('GitLab signs with the time, which must be near', () => {
  const key = `whsec_${Buffer.from('a key of some bytes').toString('base64')}`;
  const sign = (timestamp: string) => {
    const hmac = createHmac('sha256', 'a key of some bytes').update(`id-1.${timestamp}.`).update(body);
    const signature = `v1,AAAA v1,${hmac.digest('base64')}`;
    return { 'webhook-id': 'id-1', 'webhook-timestamp': timestamp, 'webhook-signature': signature };
  };
  const seconds = now.getTime() / 1000;
  assert.ok(isRight(sign(String(seconds - 299)), { key }));
  assert.ok(!isRight(sign(String(seconds - 301)), { key }));
  assert.ok(!isRight(sign('soon'), { key }));
  assert.ok(!isRight({ ...sign(String(seconds)), 'webhook-id': 'id-2' }, { key }));
});

test('without a token, or without a signature, nothing is right', () => {
  const ofNothing = createHmac('sha256', '').update(body).digest('hex');
  assert.ok(!isRight({ 'x-gitea-signature': ofNothing, 'x-gitlab-token': '' }, { key: '' }));
  assert.ok(!isRight({}));
  const sha1 = createHmac('sha1', token).update(body).digest('hex');
  assert.ok(!isRight({ 'x-hub-signature': `sha1=${sha1}` }));
});
